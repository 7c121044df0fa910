//! A broker's front that loses or holds back chosen requests: the faults between a commit and its answer.
//!
//! It speaks just enough of Kafka's protocol to see a request's kind, and rewrites its own port into every answer that
//! names the broker's, so that clients stay with it.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// Request kinds of Kafka's protocol.
pub(crate) const PRODUCE: i16 = 0;
const ADD_PARTITIONS_TO_TRANSACTION: i16 = 24;
const ADD_OFFSETS_TO_TRANSACTION: i16 = 25;
pub(crate) const END_TRANSACTION: i16 = 26;

/// What happens to a kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It never reaches the broker, and has no answer.
    LoseRequest,
    /// The broker acts on it, and its answer is lost.
    LoseAnswer,
    /// It waits until [`Proxy::clear`], then goes on its way.
    HoldRequest,
}

struct State {
    broker: String,
    port: u16,
    faults: Mutex<Vec<(i16, Fault)>>,
    /// A topic whose partition 1 joins no transaction: its partition 0 does in its place, and nobody notices.
    estranged: Mutex<Option<String>>,
    /// A group whose offsets join no transaction: those of a group with another last letter do in their place.
    estranged_group: Mutex<Option<String>>,
    changed: Condvar,
    /// How often each fault has struck.
    hits: Mutex<usize>,
    hit: Condvar,
}

/// Listens on loopback until the process ends.
#[derive(Clone)]
pub(crate) struct Proxy(Arc<State>);

impl Proxy {
    pub(crate) fn start(broker: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = Arc::new(State {
            broker: broker.to_owned(),
            port: listener.local_addr().unwrap().port(),
            faults: Mutex::default(),
            estranged: Mutex::default(),
            estranged_group: Mutex::default(),
            changed: Condvar::new(),
            hits: Mutex::default(),
            hit: Condvar::new(),
        });
        let proxy = Self(Arc::clone(&state));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                std::thread::spawn(move || serve(&state, client));
            }
        });
        proxy
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.0.port)
    }

    pub(crate) fn set(&self, kind: i16, fault: Fault) {
        self.0.faults.lock().unwrap().push((kind, fault));
    }

    /// From now on partition 1 of `topic` gets no marker: the coordinator is told that a transaction writes to partition
    /// 0. So a client is told "committed", and the partition waits for the transaction's end for ever.
    pub(crate) fn keep_markers_from(&self, topic: &str) {
        *self.0.estranged.lock().unwrap() = Some(topic.to_owned());
    }

    /// The same for the offsets of `group`.
    pub(crate) fn keep_markers_from_group(&self, group: &str) {
        *self.0.estranged_group.lock().unwrap() = Some(group.to_owned());
    }

    pub(crate) fn clear(&self) {
        self.0.faults.lock().unwrap().clear();
        *self.0.estranged.lock().unwrap() = None;
        *self.0.estranged_group.lock().unwrap() = None;
        self.0.changed.notify_all();
    }

    /// Waits until a fault has struck.
    pub(crate) fn wait_for_hit(&self) {
        let hits = self.0.hits.lock().unwrap();
        let (_hits, timeout) =
            self.0.hit.wait_timeout_while(hits, crate::support::PATIENCE, |hits| *hits == 0).unwrap();
        assert!(!timeout.timed_out(), "no request of that kind came by");
    }
}

fn serve(state: &Arc<State>, client: TcpStream) {
    let Ok(broker) = TcpStream::connect(&state.broker) else { return };
    client.set_nodelay(true).unwrap();
    broker.set_nodelay(true).unwrap();
    let lost_answers = Arc::new(Mutex::new(HashSet::new()));
    let changed_answers = Arc::new(Mutex::new(HashMap::<Vec<u8>, String>::new()));
    let answers = {
        let (state, lost, changed, from, to) = (
            Arc::clone(state),
            Arc::clone(&lost_answers),
            Arc::clone(&changed_answers),
            broker.try_clone().unwrap(),
            client.try_clone().unwrap(),
        );
        std::thread::spawn(move || {
            pump(from, to, |mut frame| {
                let lost = lost.lock().unwrap().contains(&frame[..4]);
                if let Some(topic) = changed.lock().unwrap().remove(&frame[..4]) {
                    exchange_partition(&topic, 0, 1, &mut frame);
                }
                rewrite_port(&state, &mut frame);
                (!lost).then_some(frame)
            });
        })
    };
    pump(client, broker, |mut frame| {
        let kind = i16::from_be_bytes([frame[0], frame[1]]);
        if kind == ADD_PARTITIONS_TO_TRANSACTION
            && let Some(topic) = &*state.estranged.lock().unwrap()
            && exchange_partition(topic, 1, 0, &mut frame)
        {
            changed_answers.lock().unwrap().insert(frame[4..8].to_vec(), topic.clone());
        }
        if kind == ADD_OFFSETS_TO_TRANSACTION
            && let Some(group) = &*state.estranged_group.lock().unwrap()
            && let Some(at) = frame.windows(group.len()).position(|window| window == group.as_bytes())
        {
            // The next letter has the next hash, and so another partition.
            frame[at + group.len() - 1] += 1;
        }
        let faults = state.faults.lock().unwrap();
        let fault = faults.iter().find(|(of, _)| *of == kind).map(|(_, fault)| *fault);
        if fault.is_some() {
            *state.hits.lock().unwrap() += 1;
            state.hit.notify_all();
        }
        match fault {
            None => Some(frame),
            Some(Fault::LoseRequest) => None,
            Some(Fault::LoseAnswer) => {
                lost_answers.lock().unwrap().insert(frame[4..8].to_vec());
                Some(frame)
            }
            Some(Fault::HoldRequest) => {
                drop(
                    state
                        .changed
                        .wait_while(faults, |faults| faults.iter().any(|(of, _)| *of == kind))
                        .unwrap(),
                );
                Some(frame)
            }
        }
    });
    answers.join().unwrap();
}

/// Passes frames (four bytes of length, then that many) on until either side ends.
fn pump(mut from: TcpStream, mut to: TcpStream, mut filter: impl FnMut(Vec<u8>) -> Option<Vec<u8>>) {
    let mut length = [0; 4];
    while from.read_exact(&mut length).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        if from.read_exact(&mut frame).is_err() {
            break;
        }
        if let Some(frame) = filter(frame)
            && to.write_all(&length).and_then(|()| to.write_all(&frame)).is_err()
        {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Names another partition of a topic that stands there with one partition: the name, a count of 1, the partition.
fn exchange_partition(topic: &str, from: i32, to: i32, frame: &mut [u8]) -> bool {
    let place = [topic.as_bytes(), &1_i32.to_be_bytes(), &from.to_be_bytes()].concat();
    let Some(at) = frame.windows(place.len()).position(|window| window == place) else { return false };
    let end = at + place.len();
    frame[end - 4..end].copy_from_slice(&to.to_be_bytes());
    true
}

/// Where an answer says `127.0.0.1` and the broker's port, it says our port.
fn rewrite_port(state: &State, frame: &mut [u8]) {
    let (host, port) = state.broker.split_once(':').unwrap();
    let broker_port = u32::from(port.parse::<u16>().unwrap()).to_be_bytes();
    let place = [host.as_bytes(), &broker_port].concat();
    let mut at = 0;
    while let Some(found) = frame[at..].windows(place.len()).position(|window| window == place) {
        let port_at = at + found + host.len();
        frame[port_at..port_at + 4].copy_from_slice(&u32::from(state.port).to_be_bytes());
        at = port_at + 4;
    }
}
