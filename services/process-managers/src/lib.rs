//! Checkout, returns, timers; ports to payment providers and carriers.
