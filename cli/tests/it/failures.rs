//! What goes wrong around the process, and what callers and operators are told: `docs/failures.md`, row by row.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::SmallDisk;

use crate::binary::{Up, millrace, run};

/// Longest wait for something that should come soon.
const PATIENCE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// The commands that open an embedded log in a data folder.
const OPENERS: [&[&str]; 3] = [
    &["up", "--data-dir", "data", "--listen", "127.0.0.1:0"],
    &["verify", "--data-dir", "data"],
    &["tail", "--data-dir", "data", "--from", "start"],
];

/// Every command refuses the log in `folder` with exit code 2 and these words.
fn all_refuse(folder: &Path, error: &str, hint: &str) {
    for command in OPENERS {
        let (code, _, said) = run(folder, command);
        assert_eq!(code, Some(2), "{command:?}: {said}");
        let lines: Vec<_> = said.lines().collect();
        assert!(
            lines.iter().any(|line| line.starts_with("error: ") && line.contains(error)),
            "{command:?}: {said}"
        );
        assert!(
            lines.iter().any(|line| line.starts_with("hint: ") && line.contains(hint)),
            "{command:?}: {said}"
        );
    }
}

/// `up` in `folder` with variables.
fn up_with(folder: &Path, variables: &[(&str, &str)]) -> Up {
    let mut command = millrace(folder);
    command.args(OPENERS[0]).envs(variables.iter().copied());
    Up::spawn(command)
}

/// Status, head and body of an HTTP answer; `None` when the connection ends without one.
fn call(url: &str, method: &str, path: &str, key: &str, body: &str) -> Option<(u16, String, Value)> {
    let mut connection = TcpStream::connect(url.trim_start_matches("http://")).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         idempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head.to_lowercase(), serde_json::from_str(body).unwrap_or_default()))
}

/// Receives one unit of `sku`; the key makes it harmless to repeat.
fn receive(url: &str, sku: &str, key: &str) -> Option<(u16, String, Value)> {
    call(url, "POST", &format!("/v1/stock/{sku}/receive"), key, "{\"quantity\": 1}")
}

/// Repeats until it is accepted; anything else must be a documented 503 that says when to come back.
fn receive_at_last(url: &str, sku: &str, key: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, head, body) = receive(url, sku, key).expect("the process lives");
        if status < 300 {
            return body;
        }
        assert_eq!(status, 503, "{body}");
        assert!(head.contains("retry-after:"), "{head}");
        assert!(Instant::now() < deadline, "still {body}");
    }
}

fn on_hand_is(url: &str, sku: &str, units: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, _, body) =
            call(url, "GET", &format!("/v1/stock/{sku}"), "", "").expect("the process lives");
        if status == 200 && body["on_hand"] == units {
            return;
        }
        assert!(Instant::now() < deadline, "{status} {body}, {units} on hand expected");
    }
}

fn is_clean(folder: &Path) {
    let (code, out, err) = run(folder, OPENERS[1]);
    assert_eq!(code, Some(0), "{out}{err}");
}

#[test]
fn a_folder_in_use_is_refused_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path());
    all_refuse(
        folder.path(),
        "the log in data/log is in use by another process",
        "a running `millrace up` has this folder",
    );
    receive_at_last(&up.url, "MUG", "1");
    assert_eq!(up.end(Signal::SIGTERM).0, Some(0));
    is_clean(folder.path());
}

#[test]
fn a_disk_that_cannot_be_written_to_is_refused_by_every_command() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let variables = [("MILLRACE_EMBEDDED_DISK_RESERVE_BYTES", "1MiB")];
    let up = up_with(disk.path(), &variables);
    receive_at_last(&up.url, "MUG", "1");
    assert_eq!(up.end(Signal::SIGTERM).0, Some(0));
    disk.set_read_only(true);
    all_refuse(
        disk.path(),
        "the log in data/log cannot be written to",
        "copy the folder to a disk that can be written to",
    );
    disk.set_read_only(false);
    is_clean(disk.path());
}

#[test]
fn a_log_made_with_other_settings_is_refused_with_what_to_say() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Up::start(folder.path()).end(Signal::SIGTERM).0, Some(0));
    for (flags, error, hint) in [
        (
            ["--partitions", "5"],
            "partitions of the log is 2, the configuration says 5",
            "leave --partitions out or say --partitions 2",
        ),
        (
            ["--namespace", "shop"],
            "namespace of the log is millrace, the configuration says shop",
            "say --namespace millrace",
        ),
    ] {
        let (code, _, said) = run(folder.path(), &[OPENERS[0], &flags].concat());
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(error) && said.contains(hint), "{said}");
    }
}

#[test]
fn damage_to_what_was_acknowledged_is_refused_by_every_command_and_an_unfinished_tail_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path());
    for i in 0..5 {
        receive_at_last(&up.url, &format!("SKU-{i}"), &i.to_string());
    }
    up.end(Signal::SIGKILL);
    let journal = folder.path().join("data/log/0.jnl");
    let whole = std::fs::read(&journal).unwrap();
    // Event and outcome hold it: the first place is the event's key.
    let at = whole.windows(5).position(|window| window == b"SKU-2").unwrap();
    let mut garbled = whole.clone();
    garbled[at] ^= 1;
    std::fs::write(&journal, &garbled).unwrap();
    all_refuse(
        folder.path(),
        "the log is damaged: the journal",
        "nothing was changed: restore the folder from a backup",
    );
    assert_eq!(std::fs::read(&journal).unwrap(), garbled);

    // The last batch cut in half and zeros behind it, as a crash may leave it.
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let torn = [&whole[..end], &whole[..40], &[0; 4_096]].concat();
    std::fs::write(&journal, &torn).unwrap();
    let up = Up::start(folder.path());
    for i in 0..5 {
        on_hand_is(&up.url, &format!("SKU-{i}"), 1);
        assert_eq!(receive_at_last(&up.url, &format!("SKU-{i}"), &i.to_string())["replayed"], true);
    }
    let (code, said) = up.end(Signal::SIGTERM);
    assert_eq!(code, Some(0), "{said}");
    is_clean(folder.path());
}

#[test]
fn a_disk_that_fills_up_is_told_to_callers_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(256) else { return };
    let up = up_with(disk.path(), &[("MILLRACE_EMBEDDED_DISK_RESERVE_BYTES", "32MiB")]);
    receive_at_last(&up.url, "MUG", "1");
    disk.fill(16 * MIB);
    let (status, head, body) = receive(&up.url, "MUG", "2").unwrap();
    assert_eq!((status, &body["code"]), (503, &Value::from("not_written")), "{body}");
    assert!(head.contains("retry-after:"), "{head}");
    on_hand_is(&up.url, "MUG", 1);
    disk.make_room();
    assert_eq!(receive_at_last(&up.url, "MUG", "2")["replayed"], false);
    on_hand_is(&up.url, "MUG", 2);
    let (code, said) = up.end(Signal::SIGTERM);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the disk of data/log is full: "), "{said}");
    assert!(said.contains("there is room on the disk again"), "{said}");
    is_clean(disk.path());
}

#[test]
fn a_write_that_runs_out_of_room_loses_nothing_and_needs_no_hands() {
    let Some(disk) = SmallDisk::mount(256) else { return };
    let up = up_with(
        disk.path(),
        &[("MILLRACE_EMBEDDED_DISK_RESERVE_BYTES", "0"), ("MILLRACE_HOST_ANSWER_TIMEOUT_MS", "1000")],
    );
    let mut keys = 0;
    for round in 0..3 {
        disk.fill(0);
        // Until the last page of the journal is full, too.
        loop {
            keys += 1;
            let (status, _, body) = receive(&up.url, "MUG", &keys.to_string()).unwrap();
            if status == 503 {
                assert!(
                    ["outcome_unknown", "not_written", "shard_unavailable"]
                        .iter()
                        .any(|code| body["code"] == *code),
                    "{body}"
                );
                break;
            }
            assert!(status < 300, "round {round}: {body}");
        }
        disk.make_room();
        receive_at_last(&up.url, "MUG", &keys.to_string());
    }
    on_hand_is(&up.url, "MUG", keys);
    let (code, said) = up.end(Signal::SIGTERM);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("a write of the log failed; it is opened again"), "{said}");
    assert!(said.contains("the log is open again and holds what is on the disk"), "{said}");
    is_clean(disk.path());
}

#[test]
fn a_log_that_cannot_be_opened_again_ends_the_process_and_the_next_start_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let up = up_with(
        folder.path(),
        &[
            (
                "MILLRACE_FAIL_POINTS",
                "embedded.after_write=5*off->return(unknown);embedded.before_reopen=return(unknown)",
            ),
            ("MILLRACE_EMBEDDED_REOPEN_TIMEOUT_MS", "100"),
            ("MILLRACE_HOST_ANSWER_TIMEOUT_MS", "1000"),
        ],
    );
    let mut accepted = 0;
    let lost = (0..50).find(|key| match receive(&up.url, "MUG", &key.to_string()) {
        Some((status, ..)) if status < 300 => {
            accepted += 1;
            false
        }
        _ => true,
    });
    let (code, said) = up.ended();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the log stopped after a failed write and could not be opened again"), "{said}");
    assert!(said.contains("\nhint: look for errors of the disk"), "{said}");
    assert!(said.contains("a fail point fires"), "{said}");

    let up = Up::start(folder.path());
    let lost = lost.expect("the fail point fires");
    for key in 0..=lost {
        // What was written when its answer was lost is replayed like everything else.
        assert_eq!(receive_at_last(&up.url, "MUG", &key.to_string())["replayed"], true);
    }
    on_hand_is(&up.url, "MUG", lost + 1);
    assert!(accepted <= lost);
    assert_eq!(up.end(Signal::SIGTERM).0, Some(0));
    is_clean(folder.path());
}

#[test]
fn a_process_that_ends_between_write_and_answer_has_done_it_and_says_so_when_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    for (round, point, landed) in [
        (1, "embedded.before_write", false),
        (2, "embedded.after_write", true),
        (3, "embedded.before_answer", true),
    ] {
        // Views and process managers write too: the first batch of the process is this one, after its terms.
        let up = up_with(folder.path(), &[("MILLRACE_FAIL_POINTS", &format!("{point}=return(abort)"))]);
        let key = format!("key-{round}");
        assert!(receive(&up.url, "MUG", &key).is_none(), "it ended without an answer");
        let (code, said) = up.ended();
        assert_eq!(code, None, "ended by a signal: {said}");
        assert!(said.contains(&format!("fail point {point}: the process ends here")), "{said}");
        let up = Up::start(folder.path());
        assert_eq!(receive_at_last(&up.url, "MUG", &key)["replayed"], landed, "{point}");
        on_hand_is(&up.url, "MUG", round);
        assert_eq!(up.end(Signal::SIGTERM).0, Some(0));
    }
    is_clean(folder.path());
}

#[test]
fn fail_points_are_armed_by_their_own_variable_only_and_wrong_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let up = up_with(folder.path(), &[("FAILPOINTS", "embedded.before_write=panic")]);
    receive_at_last(&up.url, "MUG", "1");
    let (code, said) = up.end(Signal::SIGTERM);
    assert_eq!(code, Some(0));
    assert!(!said.contains("fail point"), "{said}");
    let mut command = millrace(folder.path());
    command.args(OPENERS[1]).env("MILLRACE_FAIL_POINTS", "embedded.nowhere=panic");
    let refused = command.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("error: the fail point \"embedded.nowhere=panic\" cannot be armed"), "{said}");
    assert!(said.contains("hint: MILLRACE_FAIL_POINTS is for tests"), "{said}");
}

/// The broker to test on and a fresh namespace, or a line that says why there is no test.
fn kafka() -> Option<[String; 2]> {
    let broker = std::env::var("MILLRACE_TEST_KAFKA").ok().filter(|broker| !broker.is_empty());
    if broker.is_none() {
        println!("skipped: MILLRACE_TEST_KAFKA is not set");
    }
    Some([broker?, format!("cli-{}", uuid::Uuid::new_v4().simple())])
}

#[test]
fn topics_of_other_partitions_or_settings_are_refused_by_every_command_with_the_way_out() {
    let Some([broker, namespace]) = kafka() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = ["--kafka", &broker, "--namespace", &namespace];
    let (code, _, said) = run(folder.path(), &[&["topics", "init", "--partitions", "2"][..], &at].concat());
    assert_eq!(code, Some(0), "{said}");
    let commands: [&[&str]; 5] = [
        &["up", "--listen", "127.0.0.1:0", "--data-dir", "data"],
        &["serve", "commands-api", "--listen", "127.0.0.1:0", "--data-dir", "data"],
        &["verify"],
        &["tail"],
        &["topics", "init"],
    ];
    let refuse = |more: &[&str], error: &str, hint: &str| {
        for command in commands {
            let (code, _, said) = run(folder.path(), &[command, &at, more].concat());
            assert_eq!(code, Some(2), "{command:?}: {said}");
            assert!(said.contains(error), "{command:?}: {said}");
            assert!(
                said.lines().any(|line| line.starts_with("hint: ") && line.contains(hint)),
                "{command:?}: {said}"
            );
        }
    };
    let commands_topic = format!("topic {namespace}.");
    refuse(
        &["--partitions", "3"],
        " has partitions=2, 3 is needed",
        "say --partitions 2, or choose another --namespace",
    );
    refuse(&["--partitions", "3"], &commands_topic, "");

    let topic = format!("{namespace}.order.events");
    alter(&broker, &topic, "retention.ms", "1000");
    let found = format!("topic {topic} has retention.ms=1000, -1 is needed");
    let fix = format!("--alter --topic {topic} --add-config retention.ms=-1");
    let deadline = Instant::now() + PATIENCE;
    while run(folder.path(), &[&["topics", "init"][..], &at].concat()).0 != Some(2) {
        assert!(Instant::now() < deadline, "the broker knows the changed setting in time");
    }
    refuse(&[], &found, &fix);
}

/// Changes a setting of a topic as another tool would.
fn alter(broker: &str, topic: &str, name: &str, value: &str) {
    use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
    let admin: AdminClient<_> =
        rdkafka::ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
    let changed = futures::executor::block_on(admin.alter_configs([&change], &AdminOptions::new())).unwrap();
    changed.into_iter().for_each(|result| drop(result.unwrap()));
}

#[test]
fn a_second_node_on_the_data_folder_of_another_is_refused() {
    let Some([broker, namespace]) = kafka() else { return };
    let folder = tempfile::tempdir().unwrap();
    let arguments = [OPENERS[0], &["--kafka", &broker, "--namespace", &namespace]].concat();
    let mut command = millrace(folder.path());
    command.args(&arguments);
    let up = Up::spawn(command);
    let (code, _, said) = run(folder.path(), &arguments);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the state store in data/state/shard-"), "{said}");
    assert!(said.contains("failed: it is in use by another process"), "{said}");
    receive_at_last(&up.url, "MUG", "1");
    assert_eq!(up.end(Signal::SIGTERM).0, Some(0));
}
