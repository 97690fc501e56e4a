//! The server of both services: one thread waits on all idle connections, a pool of named threads does the work.
//!
//! Plain blocking threads on purpose: what a request waits for (queue, lock, disk, peer) is then something that the
//! kernel sees a thread wait for.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::http1::{Connection, Request, Response};
use crate::metrics::Metrics;

/// What a service does with a request.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers one request on worker thread number `worker`.
    fn answer(&self, worker: usize, request: &Request) -> Reply;
}

/// The end of a request.
pub(crate) enum Reply {
    Send(Response),
    /// Close the connection with a reset and without an answer.
    Reset,
}

struct Waiting {
    connection: Connection,
    since: Instant,
}

struct Shared {
    queue: Mutex<VecDeque<Waiting>>,
    ready: Condvar,
    returned: Mutex<Vec<Connection>>,
    wake: OwnedFd,
    stop: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

/// Listens on `port` of loopback. Port 0 takes any; a port in use is an error unless `or_any` allows another one.
pub(crate) fn listen(port: u16, or_any: bool) -> Result<TcpListener> {
    match TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))) {
        Err(error) if or_any && error.kind() == std::io::ErrorKind::AddrInUse => Ok(TcpListener::bind("127.0.0.1:0")?),
        other => other.with_context(|| format!("cannot listen on 127.0.0.1:{port}")),
    }
}

/// Serves until `stop` is set, then lets the workers finish what they have begun.
/// Worker threads are called `<thread_prefix>-<number>`; the kernel keeps 15 bytes of that.
pub(crate) fn serve(
    listener: TcpListener,
    thread_prefix: &str,
    workers: usize,
    service: Arc<dyn Service>,
    metrics: Arc<Metrics>,
    stop: Arc<AtomicBool>,
) -> Result<()> {
    listener.set_nonblocking(true)?;
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        ready: Condvar::new(),
        returned: Mutex::default(),
        wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
        stop,
        metrics,
    });
    let pool = (0..workers)
        .map(|worker| {
            let (shared, service) = (Arc::clone(&shared), Arc::clone(&service));
            thread::Builder::new()
                .name(format!("{thread_prefix}-{worker}"))
                .spawn(move || work(worker, &shared, service.as_ref()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let outcome = wait_for_connections(&listener, &shared);
    shared.stop.store(true, Ordering::SeqCst);
    // Under the queue's lock: a worker is then either before its look at the flag, or waiting and woken.
    let queue = lock(&shared.queue);
    shared.ready.notify_all();
    drop(queue);
    for thread in pool {
        let _ = thread.join();
    }
    outcome
}

/// Polls the listener and all idle connections; queues those that have a request.
fn wait_for_connections(listener: &TcpListener, shared: &Shared) -> Result<()> {
    let mut idle: Vec<Connection> = Vec::new();
    while !shared.stop.load(Ordering::SeqCst) {
        let ready = poll_ready(listener, shared, &idle)?;
        let since = Instant::now();
        let mut still_idle = Vec::with_capacity(idle.len());
        for (number, connection) in idle.drain(..).enumerate() {
            if ready.get(number).copied().unwrap_or(false) {
                lock(&shared.queue).push_back(Waiting { connection, since });
                shared.metrics.queue_length.inc();
                shared.ready.notify_one();
            } else {
                still_idle.push(connection);
            }
        }
        idle = still_idle;
        idle.append(&mut lock(&shared.returned));
        while let Ok((stream, _)) = listener.accept() {
            idle.push(prepare(stream)?);
        }
    }
    Ok(())
}

/// For each idle connection, whether it can be read. Returns when something happened, or after a fifth of a second.
fn poll_ready(listener: &TcpListener, shared: &Shared, idle: &[Connection]) -> Result<Vec<bool>> {
    let mut polled = Vec::with_capacity(idle.len() + 2);
    polled.push(PollFd::new(listener, PollFlags::IN));
    polled.push(PollFd::from_borrowed_fd(shared.wake.as_fd(), PollFlags::IN));
    polled.extend(idle.iter().map(|connection| PollFd::new(&connection.stream, PollFlags::IN)));
    let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    match poll(&mut polled, Some(&timeout)) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    }
    if !polled[1].revents().is_empty() {
        let mut count = [0; 8];
        let _ = rustix::io::read(&shared.wake, &mut count);
    }
    Ok(polled[2..].iter().map(|fd| !fd.revents().is_empty()).collect())
}

fn prepare(stream: TcpStream) -> Result<Connection> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    Ok(Connection::new(stream))
}

fn work(worker: usize, shared: &Shared, service: &dyn Service) {
    while let Some(waiting) = next(shared) {
        shared.metrics.queue_length.dec();
        shared.metrics.queue_wait.observe(waiting.since.elapsed().as_secs_f64());
        let Some(connection) = serve_one(worker, shared, service, waiting) else { continue };
        lock(&shared.returned).push(connection);
        let _ = rustix::io::write(&shared.wake, &1_u64.to_ne_bytes());
    }
}

/// The next connection with a request, or `None` when it is time to stop and nothing waits.
fn next(shared: &Shared) -> Option<Waiting> {
    let mut queue = lock(&shared.queue);
    loop {
        if let Some(waiting) = queue.pop_front() {
            return Some(waiting);
        }
        if shared.stop.load(Ordering::SeqCst) {
            return None;
        }
        queue = shared.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Answers the requests that have arrived on a connection; gives the connection back if it stays open.
fn serve_one(worker: usize, shared: &Shared, service: &dyn Service, waiting: Waiting) -> Option<Connection> {
    let Waiting { mut connection, mut since } = waiting;
    loop {
        let request = connection.read_request().ok().flatten()?;
        shared.metrics.in_flight.inc();
        let reply = service.answer(worker, &request);
        shared.metrics.in_flight.dec();
        match reply {
            Reply::Send(response) => {
                let sent = connection.write_response(&response);
                shared.metrics.count(&request.method, &request.path, response.status, since.elapsed());
                sent.ok()?;
            }
            Reply::Reset => {
                shared.metrics.resets.inc();
                let _ = rustix::net::sockopt::set_socket_linger(&connection.stream, Some(Duration::ZERO));
                return None;
            }
        }
        if !connection.has_more() {
            return Some(connection);
        }
        since = Instant::now();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
