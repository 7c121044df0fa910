//! Callers that look at every answer: a success, or a refusal that says clearly what is true and when to come again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};
use testkit::eventually;
use tokio::task::JoinHandle;

/// Under whose name they ask: the history does not know of them.
pub(crate) const PRINCIPAL: &str = "caller";
/// Each asks for one thing at a time.
const CALLERS: usize = 8;
/// The longest wait for an answer. Longer than any node may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long after a refusal they ask again at most: a test has no time.
const PAUSE: Duration = Duration::from_millis(200);
/// What a caller may be told while the log is away, and nothing else.
const HONEST: [&str; 4] = ["not_written", "outcome_unknown", "overloaded", "shard_unavailable"];

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// When its command was asked for the first time.
    first_asked_at: Instant,
    asked_at: Instant,
    answered_at: Instant,
    /// `None`: a success.
    refusal: Option<Refusal>,
}

#[derive(Clone, Debug)]
struct Refusal {
    status: u16,
    code: String,
    retry_after: bool,
}

/// Callers that receive one unit at a time, each for an article of its own, asking again under the same key until they are
/// told that it is done.
pub(crate) struct Callers {
    stop: Arc<AtomicBool>,
    answers: Arc<Mutex<Vec<Answer>>>,
    running: Vec<JoinHandle<u64>>,
}

impl Callers {
    pub(crate) fn start(urls: &[String]) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<Answer>>>::default());
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        let running = (0..CALLERS).map(|number| {
            let caller = Caller {
                number,
                http: http.clone(),
                urls: urls.to_vec(),
                stop: Arc::clone(&stop),
                answers: Arc::clone(&answers),
            };
            tokio::spawn(caller.run())
        });
        Self { running: running.collect(), stop, answers }
    }

    fn answers(&self) -> Vec<Answer> {
        self.answers.lock().unwrap().clone()
    }

    /// Waits until somebody is told one of these codes.
    pub(crate) async fn are_told(&self, codes: &[&str]) {
        let from = self.answers().len();
        eventually(&format!("a caller is told one of {codes:?}"), || async {
            let told = self.answers();
            let codes_told = told[from..].iter().filter_map(|answer| answer.refusal.as_ref());
            codes_told.map(|refusal| &*refusal.code).any(|code| codes.contains(&code)).then_some(())
        })
        .await;
    }

    /// Waits until every caller was told a success to something that was asked from now on.
    pub(crate) async fn are_served(&self) {
        let now = Instant::now();
        eventually("every caller is served", || async {
            let served = self.answers().iter().filter(|a| a.refusal.is_none() && a.asked_at >= now).count();
            (served >= CALLERS).then_some(())
        })
        .await;
    }

    /// Successes of commands that were asked for the first time after `from`, answered before `to`.
    pub(crate) fn served_between(&self, from: Instant, to: Instant) -> usize {
        let served = |answer: &&Answer| {
            answer.refusal.is_none() && answer.first_asked_at >= from && answer.answered_at <= to
        };
        self.answers().iter().filter(served).count()
    }

    /// Lets everybody finish; returns how often each article was received, and what they were told.
    pub(crate) async fn end(&mut self) -> (Vec<u64>, Told) {
        self.stop.store(true, Ordering::SeqCst);
        let mut received = Vec::new();
        for caller in self.running.drain(..) {
            received.push(caller.await.unwrap());
        }
        let answers = self.answers.lock().unwrap().clone();
        (received, Told { answers })
    }

    /// The stock stream of a caller's article.
    pub(crate) fn stream(number: usize) -> String {
        format!("stock/CALLER-{number}")
    }
}

struct Caller {
    number: usize,
    http: reqwest::Client,
    urls: Vec<String>,
    stop: Arc<AtomicBool>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Caller {
    /// Returns how many units it received.
    async fn run(self) -> u64 {
        let mut received = 0;
        let mut turn = self.number;
        while !self.stop.load(Ordering::SeqCst) {
            let first_asked_at = Instant::now();
            loop {
                turn += 1;
                let answer = self.ask(&self.urls[turn % self.urls.len()], received, first_asked_at).await;
                let is_done = answer.refusal.is_none();
                self.answers.lock().unwrap().push(answer);
                if is_done {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
            received += 1;
        }
        received
    }

    async fn ask(&self, url: &str, received: u64, first_asked_at: Instant) -> Answer {
        let number = self.number;
        let asked_at = Instant::now();
        let answer = self
            .http
            .post(format!("{url}/v1/stock/CALLER-{number}/receive"))
            .header("Idempotency-Key", format!("{number}-{received}"))
            .header("Millrace-Principal", PRINCIPAL)
            .json(&json!({"quantity": 1}))
            .send()
            .await;
        let refusal = match answer {
            Ok(answer) if answer.status().is_success() => {
                let body: Value = answer.json().await.unwrap_or_default();
                assert_eq!(body["version"], received + 1, "one unit each: {body}");
                None
            }
            Ok(answer) => {
                let (status, retry_after) = (answer.status(), answer.headers().contains_key(RETRY_AFTER));
                let body: Value = answer.json().await.unwrap_or_default();
                let code = body["code"].as_str().unwrap_or_default().to_owned();
                Some(Refusal { status: status.as_u16(), code, retry_after })
            }
            Err(error) => Some(Refusal { status: 0, code: format!("{error:?}"), retry_after: false }),
        };
        Answer { first_asked_at, asked_at, answered_at: Instant::now(), refusal }
    }
}

/// Everything that callers were told.
pub(crate) struct Told {
    answers: Vec<Answer>,
}

impl Told {
    /// Every refusal is a documented one that says when to come again.
    pub(crate) fn is_honest(&self) {
        for refusal in self.answers.iter().filter_map(|answer| answer.refusal.as_ref()) {
            let documented = HONEST.contains(&&*refusal.code) && matches!(refusal.status, 429 | 503);
            assert!(documented && refusal.retry_after, "{refusal:?}");
        }
    }

    /// Nobody waited longer for an answer.
    pub(crate) fn is_within(&self, limit: Duration) {
        let slowest = self.answers.iter().max_by_key(|answer| answer.took()).expect("somebody asked");
        assert!(slowest.took() <= limit, "{:?}: {:?}", slowest.took(), slowest.refusal);
    }

    /// How often each code was told.
    pub(crate) fn codes(&self) -> BTreeMap<&str, usize> {
        let mut codes = BTreeMap::new();
        for answer in &self.answers {
            let code = answer.refusal.as_ref().map_or("success", |refusal| &refusal.code);
            *codes.entry(code).or_default() += 1;
        }
        codes
    }

    /// The longest wait for an answer.
    pub(crate) fn slowest(&self) -> Duration {
        self.answers.iter().map(Answer::took).max().unwrap_or_default()
    }

    /// The longest time without any success.
    pub(crate) fn longest_silence(&self) -> Duration {
        let mut served: Vec<_> =
            self.answers.iter().filter(|a| a.refusal.is_none()).map(|a| a.answered_at).collect();
        served.sort_unstable();
        served.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

impl Answer {
    fn took(&self) -> Duration {
        self.answered_at - self.asked_at
    }
}
