//! Asks a CQL server for its options: the smallest proof that it serves clients.
//!
//! The frame is the CQL binary protocol's, version 4 (Cassandra's `native_protocol_v4.spec`): nine bytes of header, here
//! without a body.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const TIMEOUT: Duration = Duration::from_secs(3);
/// Version 4, no flags, stream 1, OPTIONS, no body.
const OPTIONS: [u8; 9] = [4, 0, 0, 1, 5, 0, 0, 0, 0];
/// An answer of version 4 to stream 1 that is SUPPORTED.
const SUPPORTED: [u8; 5] = [0x84, 0, 0, 1, 6];

/// Succeeds when a CQL server answers at `HOST:PORT`.
pub fn probe(address: &str) -> Result<()> {
    let socket = address.to_socket_addrs()?.next().context("the name has no address")?;
    let mut stream = TcpStream::connect_timeout(&socket, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(&OPTIONS)?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    ensure!(answer == SUPPORTED, "the answer is not that of a CQL server");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn answering(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; OPTIONS.len()]).unwrap();
            stream.write_all(answer).unwrap();
        });
        address
    }

    #[test]
    fn only_an_answer_of_a_cql_server_is_one() {
        probe(&answering(&[0x84, 0, 0, 1, 6, 0, 0, 0, 0])).unwrap();
        assert!(probe(&answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")).is_err());
    }
}
