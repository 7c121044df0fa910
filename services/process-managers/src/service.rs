//! The service: everything wired up, started and ended.

use std::sync::Arc;

use command_client::Commands;
use event_log::Log;
use read_store::ReadStore;
use schemas::{CommandEnvelope, CommandId, Outcome, Principal};
use service_kit::{OnError, Stop, TaskHandle, Tasks};
use tokio::sync::watch;

use crate::effect::payment_result_step;
use crate::effects::Effects;
use crate::handler::Handler;
use crate::matter_table::MatterTable;
use crate::progress::Progress;
use crate::runner::Runner;
use crate::timers::Timers;
use crate::{
    Action, Carrier, Checkout, Clock, Error, PaymentNotification, PaymentProvider, ProcessManager,
    ProcessManagersConfig, Returns, SystemClock, metrics,
};

/// Whom the effects call.
#[derive(Clone)]
pub struct Providers {
    /// Who moves the money.
    pub payments: Arc<dyn PaymentProvider>,
    /// Who carries the goods.
    pub carrier: Arc<dyn Carrier>,
}

/// The process managers of one process. In the kafka shape several processes share the partitions among them.
pub struct ProcessManagers {
    log: Arc<dyn Log>,
    commands: Arc<dyn Commands>,
    providers: Providers,
    matters: Arc<dyn ReadStore>,
    clock: Arc<dyn Clock>,
    config: ProcessManagersConfig,
}

impl ProcessManagers {
    /// The process managers over `log` that submit to `commands`.
    ///
    /// `matters` is a store of their own (a folder of its own on fjall) for the table of open matters; it can be
    /// deleted while they don't run. Fails with [`Error::Config`].
    pub fn new(
        log: Arc<dyn Log>,
        commands: Arc<dyn Commands>,
        providers: Providers,
        matters: Arc<dyn ReadStore>,
        config: ProcessManagersConfig,
    ) -> Result<Self, Error> {
        config.check()?;
        Ok(Self { log, commands, providers, matters, clock: Arc::new(SystemClock), config })
    }

    /// The same under another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Reads the open matters and starts the tasks and threads; each is one that the process cannot do without.
    pub async fn start(self, tasks: &Tasks) -> Result<ProcessManagersHandle, Error> {
        metrics::describe();
        let Self { log, commands, providers, matters, clock, config } = self;
        let stop = tasks.stop().child();
        let effects = |stop: &Stop| Effects {
            payments: Arc::clone(&providers.payments),
            carrier: Arc::clone(&providers.carrier),
            limits: config.effects,
            stop: stop.clone(),
        };
        let handler = Arc::new(Handler::new(commands, effects(&stop), config.clone(), stop.clone()));
        let checkout = Arc::new(Checkout::new(config.carrier.clone()));
        let managers: Arc<[Arc<dyn ProcessManager>]> =
            Arc::new([checkout.clone() as Arc<dyn ProcessManager>, Arc::new(Returns)]);
        let progress = Arc::new(Progress::default());
        let table = Arc::new(MatterTable::open(matters, config.timers).await?);
        let runner = Arc::new(Runner {
            log: Arc::clone(&log),
            managers,
            progress: Arc::clone(&progress),
            clock: Arc::clone(&clock),
            config: config.clone(),
        });
        let timers = Arc::new(Timers {
            log,
            table: Arc::clone(&table),
            progress: Arc::clone(&progress),
            handler: Arc::clone(&handler),
            effects: Arc::new(effects(&stop)),
            checkout,
            clock,
            limits: config.timers,
            is_current: watch::Sender::new(false),
        });

        let (sender, receiver) = runner.channel();
        let mut started = Vec::new();
        let (reading, child) = (Arc::clone(&runner), stop.clone());
        started.push(tasks.spawn_thread("process-managers-read", OnError::StopProcess, move |_| {
            reading.read(sender, &child)
        }));
        let (dealing, child) = (Arc::clone(&handler), stop.clone());
        started.push(tasks.spawn("process-managers", OnError::StopProcess, async move {
            runner.deal(&dealing, receiver, child).await;
            Ok::<_, Error>(())
        }));
        let (folding, child) = (Arc::clone(&timers), stop.clone());
        started.push(
            tasks.spawn_thread("process-timers-fold", OnError::StopProcess, move |_| folding.fold(&child)),
        );
        let child = stop.clone();
        started.push(
            tasks.spawn("process-timers", OnError::StopProcess, async move { timers.look(&child).await }),
        );
        let (payments, child) = (Arc::clone(&providers.payments), stop.clone());
        started.push(tasks.spawn("payment-notifications", OnError::StopProcess, async move {
            listen(&*payments, &handler, &child).await;
            Ok::<_, Error>(())
        }));
        Ok(ProcessManagersHandle { stop, started, progress, table })
    }
}

/// The running process managers. Dropping it leaves them alone.
#[derive(Clone)]
pub struct ProcessManagersHandle {
    stop: Stop,
    started: Vec<TaskHandle>,
    progress: Arc<Progress>,
    table: Arc<MatterTable>,
}

impl ProcessManagersHandle {
    /// Asks them to end, and waits: what is being dealt with is finished (up to `drain_ms_max`) and progress noted.
    /// To be done before the log and the shards close.
    pub async fn shutdown(&self) {
        self.stop.request();
        for task in &self.started {
            task.ended().await;
        }
    }

    /// Events that were read and are not dealt with yet.
    pub fn events_waiting(&self) -> usize {
        self.progress.outstanding()
    }

    /// Deadlines and results that are waited for.
    pub fn matters_open(&self) -> usize {
        self.table.len()
    }
}

/// Takes the provider's notifications: each leads to the command that the reply leads to, under the same id.
async fn listen(payments: &dyn PaymentProvider, handler: &Handler, stop: &Stop) {
    loop {
        let notification = tokio::select! {
            () = stop.requested() => return,
            notification = payments.next_notification() => notification,
        };
        let Some(envelope) = notified(&notification) else { continue };
        // One that is given up here is asked for after the next start.
        let outcome = tokio::select! {
            () = stop.requested() => return,
            outcome = handler.submit(envelope) => outcome,
        };
        if let Ok(Outcome::Rejected(rejection)) = outcome {
            let payment_id = &notification.request.payment_id;
            tracing::warn!(%payment_id, %rejection, "a provider's notification was refused");
        }
    }
}

fn notified(notification: &PaymentNotification) -> Option<CommandEnvelope> {
    let PaymentNotification { request, result } = notification;
    let step = payment_result_step(request, result)?;
    let Action::Command(command) = step.action else { return None };
    let command_id = CommandId::from_event(&request.key, &step.name);
    let mut envelope = CommandEnvelope::new(command_id, Principal::process("checkout"), *command);
    envelope.correlation_id = request.correlation_id;
    envelope.causation_id = Some(request.key.clone());
    envelope.occurred_at = request.occurred_at;
    Some(envelope)
}
