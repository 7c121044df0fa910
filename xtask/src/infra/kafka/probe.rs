//! Asks a broker for the cluster's metadata: the smallest proof that it serves clients.
//!
//! The wire format is Kafka's own (kafka.apache.org/protocol): Metadata request, version 4, which every broker since 1.0
//! understands and which asks for no topic.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const TIMEOUT: Duration = Duration::from_secs(3);
const ANSWER_BYTES_MAX: usize = 1 << 20;
const CORRELATION_ID: i32 = 1;

/// Succeeds when a broker behind one of the comma-separated addresses answers and knows at least one broker.
pub fn probe(bootstrap: &str) -> Result<()> {
    let mut last_error = None;
    for address in bootstrap.split(',') {
        match brokers(address.trim()) {
            Ok(_) => return Ok(()),
            Err(error) => last_error = Some(error.context(format!("no Kafka broker at {address}"))),
        }
    }
    Err(last_error.context("no address given")?)
}

/// How many brokers the one at this address knows of, itself included; none is an error.
pub(super) fn brokers(address: &str) -> Result<u32> {
    let socket = address.to_socket_addrs()?.next().context("the name has no address")?;
    let mut stream = TcpStream::connect_timeout(&socket, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(&request())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    ensure!(length <= ANSWER_BYTES_MAX, "the answer is not Kafka's");
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    match u32::try_from(broker_count(&answer).context("the answer is not Kafka's")?) {
        Ok(brokers) if brokers > 0 => Ok(brokers),
        _ => bail!("it knows of no broker yet"),
    }
}

fn request() -> Vec<u8> {
    let client = b"millrace-xtask";
    let mut body = Vec::new();
    body.extend(3_i16.to_be_bytes()); // Metadata
    body.extend(4_i16.to_be_bytes());
    body.extend(CORRELATION_ID.to_be_bytes());
    body.extend((client.len() as i16).to_be_bytes());
    body.extend(client);
    body.extend(0_i32.to_be_bytes()); // no topics
    body.push(0); // and none is to be created
    let mut request = (body.len() as i32).to_be_bytes().to_vec();
    request.extend(body);
    request
}

/// Correlation id, throttle time, then the array of brokers.
fn broker_count(answer: &[u8]) -> Option<i32> {
    let number = |at: usize| Some(i32::from_be_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    (number(0)? == CORRELATION_ID).then_some(())?;
    number(8)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that takes one request and gives this answer.
    fn answering(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; super::request().len()];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&answer).unwrap();
        });
        address
    }

    fn answer(brokers: i32) -> Vec<u8> {
        let numbers = [12, CORRELATION_ID, 0, brokers];
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    #[test]
    fn ready_means_that_the_cluster_has_a_broker() {
        probe(&answering(answer(1))).unwrap();
        assert!(probe(&answering(answer(0))).is_err());
    }

    #[test]
    fn a_server_of_another_kind_is_not_a_broker() {
        assert!(probe(&answering(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())).is_err());
    }

    #[test]
    fn one_answering_address_of_several_is_enough() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        probe(&format!("{free}, {}", answering(answer(1)))).unwrap();
        assert!(probe(&free.to_string()).is_err());
    }
}
