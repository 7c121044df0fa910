//! The host of one node: follows the ownership of shards and keeps a thread for each.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use event_log::{GroupToken, Log, Membership, Ownership, OwnershipEvent, Record, Shard};
use schemas::InstallationSecret;
use service_kit::{OnError, Tasks};
use tokio::sync::watch;

use crate::handle::Inner;
use crate::owners::Owners;
use crate::shard::{self, ShardContext};
use crate::work::{Control, Work};
use crate::{HostConfig, HostHandle, StartError};

/// How long one wait for an ownership event is at most.
const IDLE: Duration = Duration::from_millis(50);
/// Records of the commands topic that may wait per shard before its delivery is paused.
const BACKLOG_RECORDS_MAX: usize = 2_000;

/// Decides commands on the shards that the group assigns to this node.
pub struct Host;

impl Host {
    /// Joins the group and starts to follow it; shards open in the background (see [`HostHandle::serving`]).
    /// On a shared log the shards of other nodes are followed too.
    ///
    /// `state_folder` holds the disposable state stores, one folder a shard. Threads run in `tasks` and end when its
    /// stop, or [`HostHandle::stop`], is requested. `secret` tells commands that our own nodes put on a shared log from
    /// everybody else's.
    pub fn start(
        log: Arc<dyn Log>,
        config: HostConfig,
        state_folder: PathBuf,
        secret: Option<InstallationSecret>,
        tasks: &Tasks,
    ) -> Result<HostHandle, StartError> {
        std::fs::create_dir_all(&state_folder)
            .map_err(|source| StartError::StateStore { path: state_folder.clone(), source: source.into() })?;
        let ownership = log.ownership()?;
        let membership = ownership.membership();
        let inner = Arc::new(Inner {
            partitions: log.partitions(),
            answer_timeout: Duration::from_millis(config.answer_timeout_ms),
            queues: RwLock::default(),
            serving: watch::Sender::new(0),
            owners: Owners::default(),
            membership: Arc::downgrade(&membership),
            log: Arc::clone(&log),
            secret,
            stop: tasks.stop().child(),
        });
        if log.is_shared() {
            let (log, inner) = (Arc::clone(&log), Arc::clone(&inner));
            // Not the host's own stop: while its shards are handed over, callers are sent to their new owners.
            tasks.spawn_thread("shard-owners", OnError::Log, move |stop| inner.owners.follow(&log, &stop));
        }
        let shards = (0..log.partitions()).map(Shard::new).map(|shard| {
            let (control, messages) = shard::control();
            let context = ShardContext {
                shard,
                log: Arc::clone(&log),
                membership: Arc::clone(&membership),
                config: config.clone(),
                state_folder: state_folder.clone(),
                inner: Arc::clone(&inner),
                tasks: tasks.clone(),
            };
            tasks.spawn_thread(format!("shard-{shard}"), OnError::StopProcess, move |_| {
                shard::run(context, &messages)
            });
            (shard, Running { control, backlog: VecDeque::new(), paused: false })
        });
        let mut follower = Follower { shards: shards.collect(), membership, inner: Arc::clone(&inner) };
        tasks.spawn_thread("shard-ownership", OnError::StopProcess, move |_| follower.follow(ownership));
        Ok(HostHandle { inner })
    }
}

/// A shard's thread, as the follower sees it.
struct Running {
    control: Sender<Control>,
    /// Records that the shard's queue had no room for.
    backlog: VecDeque<(Record, GroupToken)>,
    paused: bool,
}

struct Follower {
    membership: Arc<dyn Membership>,
    inner: Arc<Inner>,
    shards: HashMap<Shard, Running>,
}

impl Follower {
    fn follow(&mut self, mut ownership: Box<dyn Ownership>) -> Result<(), StartError> {
        let mut leaving = false;
        loop {
            if self.inner.stop.is_requested() && !leaving {
                leaving = true;
                self.membership.leave()?;
            }
            match ownership.next(IDLE) {
                Ok(Some(event)) => self.event(event),
                Ok(None) => {}
                Err(event_log::Error::Closed) if leaving => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            self.deliver();
        }
    }

    fn event(&mut self, event: OwnershipEvent) {
        match event {
            OwnershipEvent::Assigned(shard, ack) => self.tell(shard, Control::Own(ack)),
            OwnershipEvent::Revoked(shard, ack) => self.tell(shard, Control::Drain(Some(ack))),
            OwnershipEvent::Lost(shard) => self.tell(shard, Control::Lost),
            OwnershipEvent::Commands(records, token) => {
                for record in records {
                    let shard = Shard::new(record.position.partition);
                    if let Some(running) = self.shards.get_mut(&shard) {
                        running.backlog.push_back((record, token.clone()));
                    }
                }
            }
            other => tracing::warn!(event = ?other, "an ownership event that this host does not know"),
        }
    }

    fn tell(&mut self, shard: Shard, message: Control) {
        if let Some(running) = self.shards.get_mut(&shard) {
            // Of an ownership that is over: the next owner reads them again.
            running.backlog.clear();
            running.paused = false;
            // A thread that has ended already drops the message, which answers the acknowledgement in it.
            let _ = running.control.send(message);
        }
    }

    /// Moves records of the commands topic into the shards' queues, pausing a shard whose queue is full.
    fn deliver(&mut self) {
        let queues = self.inner.queues.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (shard, running) in &mut self.shards {
            let Some(queue) = queues.get(&shard.partition()) else { continue };
            while let Some((record, token)) = running.backlog.pop_front() {
                match queue.single.try_send(Work::Record { record: Box::new(record), token }) {
                    Ok(()) => {}
                    Err(TrySendError::Full(Work::Record { record, token })) => {
                        running.backlog.push_front((*record, token));
                        break;
                    }
                    Err(_) => break,
                }
            }
            let pause = running.backlog.len() > BACKLOG_RECORDS_MAX;
            if pause != running.paused {
                let told = if pause { self.membership.pause(*shard) } else { self.membership.resume(*shard) };
                match told {
                    Ok(()) => running.paused = pause,
                    Err(error) => {
                        tracing::warn!(%shard, %error, "could not pause or resume the shard's commands")
                    }
                }
            }
        }
    }
}
