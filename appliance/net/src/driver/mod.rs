//! The role: one thread that moves frames and streams between a device, the core and the gateway.

mod device;
mod unix;

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::{ClockId, Timespec};
use smoltcp::time::{Duration, Instant};
use sys::arena::Arena;
use sys::channel::{self, ChannelError};
use sys::status::{Channel, FromRole, ToRole};

use crate::control::{self, CodecError, FlowId, MESSAGE_MAX};
use crate::stack::{EVENTS_MAX, Setup, Stack};
use crate::tcp::budget::MOST;
pub use device::Device;
use unix::UnixEnds;

/// Connections that there is address space for: as many as the configuration may allow.
const SLOTS: u32 = 60_000;
/// The part of the machine's memory that buffers may hold unless the configuration says otherwise.
const BUFFER_SHARE: u64 = 4;
/// Frames taken before the flows have their turn.
const FRAMES_A_TURN: usize = 64;
/// Messages of the gateway's taken before the flows have their turn.
const MESSAGES_A_TURN: usize = 64;
/// Readiness reports taken at once.
const READY_A_TURN: usize = 256;
/// How long a full device or gateway is left alone before it is tried again.
const RETRY: Duration = Duration::from_millis(5);
/// How often the carrier is looked at. The kernel tells nobody of it but by a netlink socket.
const LOOK: Duration = Duration::from_secs(1);
/// The same while there is none: somebody waits for it.
const LOOK_SOON: Duration = Duration::from_millis(200);
/// How long a shutdown waits for the last frames and messages to leave.
const DRAIN: Duration = Duration::from_millis(500);

const DEVICE: u64 = 0;
const CONTROL: u64 = 1;
const STATUS: u64 = 2;

/// Why the role ended otherwise than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the network device: {0}")]
    Device(#[source] std::io::Error),
    #[error("the gateway is gone")]
    GatewayGone,
    #[error("the gateway reads no messages")]
    GatewayStuck,
    #[error("PID 1 is gone")]
    InitGone,
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<rustix::io::Errno> for RunError {
    fn from(errno: rustix::io::Errno) -> RunError {
        RunError::Io(errno.into())
    }
}

/// Serves until PID 1 says `Shutdown`.
///
/// `control` is a `SOCK_SEQPACKET` to the gateway, which speaks [`control`]'s messages.
///
/// # Errors
/// The device, the gateway or PID 1 is gone, or the kernel refuses what the role needs. Every flow was reset.
pub fn run(device: Device, control: OwnedFd, status: Channel) -> Result<(), RunError> {
    Driver::new(device, control, status)?.run()
}

struct Driver {
    device: Device,
    control: OwnedFd,
    status: Channel,
    epoll: Rc<OwnedFd>,
    stack: Stack<UnixEnds>,
    /// What may have more than was taken so far.
    device_ready: bool,
    control_ready: bool,
    status_ready: bool,
    packet: Vec<u8>,
    /// When to look at the carrier, if the device can lose it.
    look_at: Option<Instant>,
    stop_at: Option<Instant>,
}

impl Driver {
    fn new(device: Device, control: OwnedFd, status: Channel) -> Result<Driver, RunError> {
        let epoll = Rc::new(epoll::create(CreateFlags::CLOEXEC)?);
        let edge = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        rustix::io::ioctl_fionbio(&control, true)?;
        epoll::add(&*epoll, device.as_fd(), EventData::new_u64(DEVICE), EventFlags::IN | EventFlags::ET)?;
        epoll::add(&*epoll, &control, EventData::new_u64(CONTROL), edge)?;
        epoll::add(&*epoll, status.as_fd(), EventData::new_u64(STATUS), EventFlags::IN | EventFlags::ET)?;
        let mut seed = [0; 32];
        let flags = rustix::rand::GetRandomFlags::empty();
        if rustix::rand::getrandom(&mut seed, flags)? != seed.len() {
            return Err(RunError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
        let setup = Setup {
            mac: device.mac(),
            mtu: device.mtu(),
            seed,
            arena: Arena::reserve(SLOTS, 2 * MOST)?,
            buffer_memory: machine_memory() / BUFFER_SHARE,
            ends: UnixEnds::new(Rc::clone(&epoll)),
        };
        let stack = Stack::new(setup);
        let (device_ready, control_ready, status_ready) = (true, true, true);
        let packet = vec![0; MESSAGE_MAX];
        Ok(Driver {
            device,
            control,
            status,
            epoll,
            stack,
            device_ready,
            control_ready,
            status_ready,
            packet,
            look_at: Some(Instant::ZERO),
            stop_at: None,
        })
    }

    fn run(mut self) -> Result<(), RunError> {
        self.tell(&FromRole::Ready)?;
        let ended = self.serve();
        if ended.is_err() {
            // Whoever waits at the other end of a connection learns it now, not by a timeout.
            self.stack.stop(now());
            self.device.send(self.stack.out()).map_err(RunError::Device)?;
        }
        ended
    }

    fn serve(&mut self) -> Result<(), RunError> {
        let mut ready = Vec::with_capacity(READY_A_TURN);
        loop {
            self.take_status()?;
            let now = now();
            self.take_messages(now)?;
            self.look(now)?;
            self.take_frames(now)?;
            let mut busy = self.stack.poll(now);
            self.send_messages()?;
            self.device.send(self.stack.out()).map_err(RunError::Device)?;
            busy |= self.device_ready || self.control_ready;
            if let Some(stop_at) = self.stop_at {
                let done = self.stack.out().is_empty() && self.stack.events().is_empty();
                if done || now >= stop_at {
                    return self.tell(&FromRole::Stopped);
                }
            }
            self.wait(now, busy, &mut ready)?;
        }
    }

    fn wait(&mut self, now: Instant, busy: bool, ready: &mut Vec<epoll::Event>) -> Result<(), RunError> {
        let due = [self.stack.next_due(now), self.look_at].into_iter().flatten().min();
        let mut timeout = match due {
            _ if busy => Some(Duration::ZERO),
            Some(due) if due > now => Some(due - now),
            Some(_) => Some(Duration::ZERO),
            None => None,
        };
        if !self.stack.out().is_empty() || !self.stack.events().is_empty() || self.stop_at.is_some() {
            timeout = Some(timeout.unwrap_or(RETRY).min(RETRY));
        }
        let timeout = timeout.map(|wait| Timespec {
            tv_sec: wait.secs() as i64,
            tv_nsec: (wait.total_micros() % 1_000_000) as i64 * 1_000,
        });
        ready.clear();
        match epoll::wait(&*self.epoll, spare_capacity(ready), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in ready.iter() {
            let (token, flags) = (event.data.u64(), event.flags);
            match token {
                DEVICE => self.device_ready = true,
                CONTROL => self.control_ready = true,
                STATUS => self.status_ready = true,
                flow => {
                    let gone = flags.intersects(EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP);
                    let readable = gone || flags.contains(EventFlags::IN);
                    self.stack.ready(FlowId(flow), readable, gone || flags.contains(EventFlags::OUT));
                }
            }
        }
        Ok(())
    }

    fn look(&mut self, now: Instant) -> Result<(), RunError> {
        if self.look_at.is_some_and(|when| when <= now) {
            self.look_at = match self.device.carrier() {
                Some(up) => {
                    let up = up.map_err(RunError::Device)?;
                    self.stack.carrier(now, up);
                    Some(now + if up { LOOK } else { LOOK_SOON })
                }
                None => None,
            };
        }
        Ok(())
    }

    fn take_frames(&mut self, now: Instant) -> Result<(), RunError> {
        if !self.device_ready {
            return Ok(());
        }
        let Driver { device, stack, .. } = self;
        let taken = device
            .receive(FRAMES_A_TURN, |frame, sum| stack.frame_in(now, frame, sum))
            .map_err(RunError::Device)?;
        self.device_ready = taken == FRAMES_A_TURN;
        Ok(())
    }

    fn take_messages(&mut self, now: Instant) -> Result<(), RunError> {
        for _ in 0..MESSAGES_A_TURN {
            if !self.control_ready {
                return Ok(());
            }
            let taken = match channel::recv_with_fds(&self.control, &mut self.packet) {
                Ok(taken) => taken,
                Err(ChannelError::WouldBlock) => {
                    self.control_ready = false;
                    return Ok(());
                }
                Err(ChannelError::Malformed) => {
                    self.stack.malformed_in();
                    continue;
                }
                Err(ChannelError::Closed) => return Err(RunError::GatewayGone),
                Err(error) => return Err(error.into()),
            };
            // The gateway passes no descriptors; any that came are closed here.
            match control::decode(self.packet.get(..taken.len).unwrap_or_default()) {
                Ok(message) => self.stack.message_in(now, message),
                Err(_) => self.stack.malformed_in(),
            }
        }
        Ok(())
    }

    fn send_messages(&mut self) -> Result<(), RunError> {
        while let Some(event) = self.stack.events().front() {
            let packet = control::encode(&event.message)?;
            let fds: Vec<_> = event.passed.iter().map(AsFd::as_fd).collect();
            match channel::send_with_fds(&self.control, &packet, &fds) {
                // Dropping it closes our copy of what was passed, and an ended flow's end.
                Ok(()) => drop(self.stack.events().pop_front()),
                Err(ChannelError::WouldBlock) => break,
                Err(ChannelError::Closed) => return Err(RunError::GatewayGone),
                Err(error) => return Err(error.into()),
            }
        }
        if self.stack.events().len() > EVENTS_MAX { Err(RunError::GatewayStuck) } else { Ok(()) }
    }

    fn take_status(&mut self) -> Result<(), RunError> {
        while self.status_ready {
            match self.status.receive::<ToRole>() {
                Ok(ToRole::Ping(number)) => self.tell(&FromRole::Pong(number))?,
                Ok(ToRole::Shutdown) if self.stop_at.is_none() => {
                    let now = now();
                    self.stack.stop(now);
                    self.stop_at = Some(now + DRAIN);
                }
                Ok(ToRole::Shutdown | ToRole::Note(_) | ToRole::Change(_)) => {}
                Err(ChannelError::WouldBlock) => self.status_ready = false,
                Err(ChannelError::Closed) => return Err(RunError::InitGone),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn tell(&self, message: &FromRole) -> Result<(), RunError> {
        match self.status.send(message) {
            // PID 1 asks again; a lost answer costs one period.
            Ok(()) | Err(ChannelError::WouldBlock) => Ok(()),
            Err(ChannelError::Closed) => Err(RunError::InitGone),
            Err(error) => Err(error.into()),
        }
    }
}

fn machine_memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(info.mem_unit.into())
}

/// Since the machine started.
fn now() -> Instant {
    let time = rustix::time::clock_gettime(ClockId::Monotonic);
    Instant::from_micros(time.tv_sec * 1_000_000 + time.tv_nsec / 1_000)
}
