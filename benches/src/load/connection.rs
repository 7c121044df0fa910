//! One keep-alive connection.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::response::{Fed, ResponseDecoder};

/// Room for what has arrived and is not decoded; no head may be longer.
const INPUT_BYTES: usize = 64 << 10;

/// A connection with one request in flight.
pub struct Connection {
    stream: TcpStream,
    incoming: Incoming,
}

/// What arrives.
pub(super) struct Incoming {
    input: Vec<u8>,
    from: usize,
    to: usize,
    decoder: ResponseDecoder,
    body: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("nobody listens on {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, incoming: Incoming::new() })
    }

    /// Sends `request` and reads the whole answer: status and body.
    ///
    /// # Errors
    /// When the connection breaks or what comes back is not HTTP.
    pub async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        self.stream.write_all(request).await.context("cannot send")?;
        self.incoming.body.clear();
        while !self.incoming.step()? {
            self.incoming.read(&mut self.stream).await?;
        }
        Ok((self.incoming.decoder.status(), &self.incoming.body))
    }

    /// Sends `request` while reading the answer; `on_body` takes what it wants from the front of the body that has arrived
    /// (all that it leaves comes again, with more). Returns the status.
    ///
    /// # Errors
    /// As [`Connection::exchange`].
    pub async fn exchange_streaming(
        &mut self,
        request: &[u8],
        mut on_body: impl FnMut(&mut Vec<u8>),
    ) -> anyhow::Result<u16> {
        let Self { stream, incoming } = self;
        let (mut reading, mut writing) = stream.split();
        let send = async { writing.write_all(request).await.context("cannot send") };
        let receive = async {
            incoming.body.clear();
            loop {
                let done = incoming.step()?;
                on_body(&mut incoming.body);
                if done {
                    return Ok(incoming.decoder.status());
                }
                incoming.read(&mut reading).await?;
            }
        };
        let ((), status) = futures::future::try_join(send, receive).await?;
        Ok(status)
    }
}

impl Incoming {
    fn new() -> Self {
        let decoder = ResponseDecoder::default();
        Self { input: vec![0; INPUT_BYTES], from: 0, to: 0, decoder, body: Vec::new() }
    }

    /// Decodes what is there; whether the answer is complete.
    fn step(&mut self) -> anyhow::Result<bool> {
        if self.from == self.to {
            return Ok(false);
        }
        let Fed { taken, done } = self.decoder.feed(&self.input[self.from..self.to], &mut self.body)?;
        self.from += taken;
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
        Ok(done)
    }

    async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<()> {
        if self.from > 0 {
            self.input.copy_within(self.from..self.to, 0);
            self.to -= self.from;
            self.from = 0;
        }
        if self.to == self.input.len() {
            bail!("a head longer than {INPUT_BYTES} bytes");
        }
        // tokio remembers that a read which did not fill the buffer has emptied the socket: the next one waits for the
        // event without asking the system first.
        match stream.read(&mut self.input[self.to..]).await.context("cannot receive")? {
            0 => bail!("the server closed the connection"),
            bytes => self.to += bytes,
        }
        Ok(())
    }
}
