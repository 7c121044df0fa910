//! A shard's writer of the embedded log: checks a batch, hands it to the commit thread, waits for the answer.

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::committer::Request;
use super::store::Store;
use crate::batch_check::check_batch;
use crate::{AppendError, Appended, Batch, BatchError, Error, Shard, ShardWriter, WriterTerm};

/// A shard's writer.
pub(crate) struct EmbeddedWriter {
    store: Arc<Store>,
    requests: Sender<Request>,
    shard: Shard,
    term: WriterTerm,
    is_open: bool,
}

impl EmbeddedWriter {
    pub(crate) fn open(store: Arc<Store>, requests: Sender<Request>, shard: Shard) -> Result<Self, Error> {
        let commands = store.topics.commands().clone();
        store.slot(&commands, shard.partition())?;
        let (answer, answered) = crossbeam_channel::bounded(1);
        requests.send(Request::Open { shard, answer }).map_err(|_| Error::Closed)?;
        let term = answered.recv().map_err(|_| Error::Closed)??;
        Ok(Self { store, requests, shard, term, is_open: true })
    }
}

impl ShardWriter for EmbeddedWriter {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn term(&self) -> WriterTerm {
        self.term
    }

    fn append(&mut self, batch: Batch) -> Result<Appended, AppendError> {
        if !self.is_open {
            return Err(AppendError::not_written(BatchError::WriterClosed));
        }
        if batch.is_empty() {
            return Ok(Appended::new(Vec::new()));
        }
        check_batch(&batch, self.shard, &self.store.topics, &self.store.config.log)
            .map_err(AppendError::not_written)?;
        let (answer, answered) = crossbeam_channel::bounded(1);
        let request = Request::Append { shard: self.shard, term: self.term, batch, answer };
        let result = match self.requests.send(request) {
            // Nobody has taken it.
            Err(_) => Err(AppendError::not_written(Error::Closed)),
            // The queue was dropped with the request in it (not taken), or the commit thread died over it: who knows.
            Ok(()) => answered.recv().unwrap_or_else(|_| Err(AppendError::unknown(Error::Closed))),
        };
        // What was not written changes nothing: on a full disk the writer waits for room like its callers.
        self.is_open = matches!(result, Ok(_) | Err(AppendError::NotWritten { .. }));
        result
    }

    fn is_open(&self) -> bool {
        self.is_open
    }
}
