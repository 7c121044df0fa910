//! The shipment: packed, with the carrier, and then arrived or failed.

use std::sync::Arc;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use schemas::order::{GoodsLine, LINES_MAX};
use schemas::shipment::{
    CreateShipment, FailShipment, ShipmentCommand, ShipmentCreated, ShipmentDelivered, ShipmentDispatched,
    ShipmentEvent, ShipmentFailed, ShipmentStatus, ShipmentTracked, TrackShipment,
};
use schemas::{OrderId, ShipmentId};
use serde::{Deserialize, Serialize};

use crate::limits;

domain_errors! {
    /// Why a shipment refuses a command.
    ShipmentError {
        #[error("there is no shipment {shipment_id}")]
        NotFound { shipment_id: ShipmentId } => ShipmentNotFound,
        #[error("the shipment {shipment_id} exists already, with other content")]
        Exists { shipment_id: ShipmentId } => ShipmentExists,
        #[error("the shipment {shipment_id} has nothing in it")]
        Empty { shipment_id: ShipmentId } => ShipmentEmpty,
        #[error("to {wanted} is not possible for shipment {shipment_id}, which is {status:?}")]
        WrongStatus { shipment_id: ShipmentId, status: ShipmentStatus, wanted: &'static str } => ShipmentWrongStatus,
        #[error("{field} {problem}")]
        InvalidValue { field: &'static str, problem: String } => InvalidValue,
    }
}

/// A shipment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shipment {
    created: Option<Arc<ShipmentCreated>>,
    status: ShipmentStatus,
    tracking_number: Option<String>,
    /// The carrier's last word, to recognise it when it comes twice.
    last_tracked: Option<Arc<ShipmentTracked>>,
}

impl Shipment {
    /// Where it stands; none: there is no such shipment.
    pub fn status(&self) -> Option<ShipmentStatus> {
        self.created.as_ref().map(|_| self.status)
    }

    /// The order whose goods it carries.
    pub fn order_id(&self) -> Option<&OrderId> {
        self.created.as_ref().map(|created| &created.order_id)
    }

    /// What is in it.
    pub fn goods(&self) -> &[GoodsLine] {
        self.created.as_ref().map_or(&[], |created| &created.goods)
    }

    /// The carrier's number, once dispatched.
    pub fn tracking_number(&self) -> Option<&str> {
        self.tracking_number.as_deref()
    }

    fn create(
        &self,
        shipment_id: ShipmentId,
        command: CreateShipment,
    ) -> Result<Option<ShipmentEvent>, ShipmentError> {
        let CreateShipment { order_id, goods, address, carrier } = command;
        let wanted = ShipmentCreated { shipment_id, order_id, goods, address, carrier };
        if let Some(created) = &self.created {
            if **created == wanted {
                return Ok(None);
            }
            return Err(ShipmentError::Exists { shipment_id: wanted.shipment_id });
        }
        if wanted.goods.is_empty() {
            return Err(ShipmentError::Empty { shipment_id: wanted.shipment_id });
        }
        limits::entries("goods", wanted.goods.len(), LINES_MAX)?;
        limits::text("carrier", &wanted.carrier, 1..=limits::LABEL_CHARS_MAX)?;
        if let Some(address) = &wanted.address {
            limits::address("address", address)?;
        }
        Ok(Some(wanted.into()))
    }

    fn dispatch(
        &self,
        shipment_id: ShipmentId,
        tracking_number: String,
    ) -> Result<Option<ShipmentEvent>, ShipmentError> {
        let created = self.must_exist(&shipment_id)?;
        if self.tracking_number.as_ref() == Some(&tracking_number) {
            return Ok(None);
        }
        if self.status != ShipmentStatus::Created {
            return Err(self.wrong_status(shipment_id, "dispatch"));
        }
        limits::text("tracking_number", &tracking_number, 1..=limits::FOREIGN_ID_CHARS_MAX)?;
        let ShipmentCreated { order_id, goods, carrier, .. } = created.clone();
        Ok(Some(ShipmentDispatched { shipment_id, order_id, goods, carrier, tracking_number }.into()))
    }

    fn track(
        &self,
        shipment_id: ShipmentId,
        command: TrackShipment,
    ) -> Result<Option<ShipmentEvent>, ShipmentError> {
        let order_id = self.must_exist(&shipment_id)?.order_id.clone();
        if self.status != ShipmentStatus::Dispatched {
            return Err(self.wrong_status(shipment_id, "track"));
        }
        let TrackShipment { code, place, message } = command;
        limits::text("code", &code, 1..=limits::LABEL_CHARS_MAX)?;
        limits::text("place", &place, 0..=limits::NAME_CHARS_MAX)?;
        limits::text("message", &message, 0..=limits::NOTE_CHARS_MAX)?;
        let tracked = ShipmentTracked { shipment_id, order_id, code, place, message };
        if self.last_tracked.as_deref() == Some(&tracked) {
            return Ok(None);
        }
        Ok(Some(tracked.into()))
    }

    fn deliver(
        &self,
        shipment_id: ShipmentId,
        received_by: String,
    ) -> Result<Option<ShipmentEvent>, ShipmentError> {
        let order_id = self.must_exist(&shipment_id)?.order_id.clone();
        match self.status {
            ShipmentStatus::Dispatched => {}
            ShipmentStatus::Delivered => return Ok(None),
            ShipmentStatus::Created | ShipmentStatus::Failed => {
                return Err(self.wrong_status(shipment_id, "deliver"));
            }
        }
        limits::text("received_by", &received_by, 0..=limits::NAME_CHARS_MAX)?;
        Ok(Some(ShipmentDelivered { shipment_id, order_id, received_by }.into()))
    }

    fn fail(
        &self,
        shipment_id: ShipmentId,
        command: FailShipment,
    ) -> Result<Option<ShipmentEvent>, ShipmentError> {
        let order_id = self.must_exist(&shipment_id)?.order_id.clone();
        let dispatched = match self.status {
            ShipmentStatus::Created => false,
            ShipmentStatus::Dispatched => true,
            ShipmentStatus::Failed => return Ok(None),
            ShipmentStatus::Delivered => return Err(self.wrong_status(shipment_id, "fail")),
        };
        let FailShipment { code, reason } = command;
        limits::text("code", &code, 1..=limits::LABEL_CHARS_MAX)?;
        limits::text("reason", &reason, 0..=limits::NOTE_CHARS_MAX)?;
        Ok(Some(ShipmentFailed { shipment_id, order_id, code, reason, dispatched }.into()))
    }

    fn must_exist(&self, shipment_id: &ShipmentId) -> Result<&ShipmentCreated, ShipmentError> {
        self.created.as_deref().ok_or_else(|| ShipmentError::NotFound { shipment_id: shipment_id.clone() })
    }

    fn wrong_status(&self, shipment_id: ShipmentId, wanted: &'static str) -> ShipmentError {
        ShipmentError::WrongStatus { shipment_id, status: self.status, wanted }
    }
}

impl Aggregate for Shipment {
    const TYPE: &'static str = "shipment";
    type Command = (ShipmentId, ShipmentCommand);
    type Event = ShipmentEvent;
    type Error = ShipmentError;
    type Services = ();

    async fn handle(
        &mut self,
        (shipment_id, command): Self::Command,
        _: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), ShipmentError> {
        let event = match command {
            ShipmentCommand::Create(command) => self.create(shipment_id, command)?,
            ShipmentCommand::Dispatch(command) => self.dispatch(shipment_id, command.tracking_number)?,
            ShipmentCommand::Track(command) => self.track(shipment_id, command)?,
            ShipmentCommand::Deliver(command) => self.deliver(shipment_id, command.received_by)?,
            ShipmentCommand::Fail(command) => self.fail(shipment_id, command)?,
        };
        if let Some(event) = event {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: ShipmentEvent) {
        match event {
            ShipmentEvent::Created(event) => self.created = Some(Arc::new(event)),
            ShipmentEvent::Dispatched(event) => {
                self.status = ShipmentStatus::Dispatched;
                self.tracking_number = Some(event.tracking_number);
            }
            ShipmentEvent::Tracked(event) => self.last_tracked = Some(Arc::new(event)),
            ShipmentEvent::Delivered(_) => self.status = ShipmentStatus::Delivered,
            ShipmentEvent::Failed(_) => self.status = ShipmentStatus::Failed,
        }
    }
}
