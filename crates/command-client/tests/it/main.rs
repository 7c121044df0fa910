//! The HTTP client against servers that behave badly. (Against the real API it is tested there.)
#![cfg(test)]

mod http;
