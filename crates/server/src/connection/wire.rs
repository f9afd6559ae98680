//! A client's socket, as it is or with TLS around it: what the connection's task reads from and writes to.
//!
//! Invariants:
//! - Nothing here waits but what says `async`; a full or empty socket is `WouldBlock`.
//! - With TLS, bytes may wait in here in both directions: [`Wire::has_input`] and [`Wire::owes`] say so, since the socket does not.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use rustix::net::RecvFlags;
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncWriteExt, Interest, Ready};
use tokio::net::TcpStream;

/// See the module.
pub(super) enum Wire {
    Plain(TcpStream),
    Secure(Box<Secure>),
}

/// A socket with TLS.
pub(super) struct Secure {
    socket: TcpStream,
    tls: ServerConnection,
    /// Decrypted bytes that nobody read yet.
    decrypted: usize,
    /// The peer said that nothing more comes.
    is_over: bool,
}

impl Wire {
    pub fn plain(socket: TcpStream) -> Self {
        Self::Plain(socket)
    }

    /// The handshake is still to come.
    pub fn secure(socket: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let tls = ServerConnection::new(config).map_err(invalid)?;
        Ok(Self::Secure(Box::new(Secure {
            socket,
            tls,
            decrypted: 0,
            is_over: false,
        })))
    }

    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Secure(secure) => &secure.socket,
        }
    }

    /// The client's certificate (DER), once the handshake is over, if it has one.
    pub fn certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Secure(secure) => secure.tls.peer_certificates()?.first().map(|found| &**found),
        }
    }

    /// Whether bytes can be read without the socket.
    pub fn has_input(&self) -> bool {
        matches!(self, Self::Secure(secure) if secure.decrypted > 0)
    }

    /// Whether it is known that there is something to read, or the end of it all.
    pub async fn is_readable_now(&self) -> bool {
        let mut look = pin!(self.socket().readable());
        let looked = poll_fn(|context| Poll::Ready(look.as_mut().poll(context).is_ready()));
        self.has_input() || looked.await
    }

    /// Whether bytes that were written wait for the socket in here.
    pub fn owes(&self) -> bool {
        matches!(self, Self::Secure(secure) if secure.tls.wants_write())
    }

    #[inline]
    pub fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => receive(socket, bytes),
            Self::Secure(secure) => secure.try_read(bytes),
        }
    }

    #[inline]
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_write(bytes),
            Self::Secure(secure) => secure.try_write(bytes),
        }
    }

    /// Writes what waits in here, as far as the socket takes it.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Secure(secure) => secure.flush(),
        }
    }

    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        self.socket().ready(interest).await
    }

    /// Leads the TLS handshake, if there is one.
    pub async fn shake_hands(&mut self) -> io::Result<()> {
        let Self::Secure(secure) = self else { return Ok(()) };
        while secure.tls.is_handshaking() || secure.tls.wants_write() {
            let interest = if secure.tls.wants_write() {
                Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            secure.socket.ready(interest).await?;
            let step = if interest == Interest::WRITABLE {
                secure.flush()
            } else {
                secure.receive()
            };
            match step {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                step => step?,
            }
        }
        Ok(())
    }

    /// Reads at most `room` bytes behind those that are there; zero at the end.
    pub async fn read_into(&mut self, bytes: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        let start = bytes.len();
        loop {
            bytes.resize(start + room, 0);
            let read = self.try_read(&mut bytes[start..]);
            bytes.truncate(start + read.as_ref().map_or(0, |len| *len));
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready(Interest::READABLE).await?;
                }
                read => return read,
            }
        }
    }

    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() || self.owes() {
            match self.try_write(bytes) {
                Ok(0) if !bytes.is_empty() => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => bytes = &bytes[len..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready(Interest::WRITABLE).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that nothing more will be written.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.end();
        match self {
            Self::Plain(socket) => socket.shutdown().await,
            Self::Secure(secure) => secure.socket.shutdown().await,
        }
    }

    /// Takes leave of the peer, as far as the socket takes it.
    pub fn end(&mut self) {
        if let Self::Secure(secure) = self {
            secure.tls.send_close_notify();
            // Whoever is gone misses nothing.
            let _ = secure.flush();
        }
    }
}

impl Secure {
    fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < bytes.len() {
            if self.decrypted > 0 {
                let read = self.tls.reader().read(&mut bytes[filled..])?;
                self.decrypted -= read;
                filled += read;
                continue;
            }
            match self.receive() {
                Ok(()) if self.is_over && self.decrypted == 0 => break,
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(_) if filled > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Takes bytes from the socket and decrypts them; `UnexpectedEof` at its end.
    fn receive(&mut self) -> io::Result<()> {
        if self.tls.read_tls(&mut Adapter(&self.socket))? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let state = self.tls.process_new_packets();
        // Answers of the protocol, an alert among them.
        let flushed = self.flush();
        let state = state.map_err(invalid)?;
        self.decrypted = state.plaintext_bytes_to_read();
        self.is_over = state.peer_has_closed();
        flushed
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.tls.writer().write(bytes)?;
        self.flush()?;
        if taken == 0 && self.tls.wants_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Adapter(&self.socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The socket as the TLS library wants it.
struct Adapter<'a>(&'a TcpStream);

impl Read for Adapter<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        receive(self.0, bytes)
    }
}

impl Write for Adapter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads what is there. A read that fills less than it might have is the last until the system says that there is more: to ask it
/// costs a call.
#[inline]
fn receive(socket: &TcpStream, bytes: &mut [u8]) -> io::Result<usize> {
    let mut received = Err(io::ErrorKind::WouldBlock.into());
    let outcome = socket.try_io(Interest::READABLE, || {
        let len = rustix::net::recv(socket, &mut *bytes, RecvFlags::empty())?.0;
        received = Ok(len);
        if 0 < len && len < bytes.len() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    });
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => received,
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
