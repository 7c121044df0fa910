//! Events to read models; the projector.
