use super::*;

const S: Duration = Duration::from_secs(1);

/// A supervisor whose roles do what a test says, on a clock that it moves.
struct House {
    supervisor: Supervisor,
    now: Duration,
}

impl House {
    fn new() -> House {
        House { supervisor: Supervisor::new(Duration::ZERO), now: Duration::ZERO }
    }

    fn give(&mut self, input: Input) -> Vec<Action> {
        let mut out = Vec::new();
        self.supervisor.handle(self.now, input, &mut out);
        out.retain(|action| *action != Action::FeedWatchdog);
        out
    }

    /// Moves the clock from deadline to deadline until `until`; what was done, with the watchdog's food.
    fn pass(&mut self, until: Duration) -> Vec<(Duration, Action)> {
        let mut done = Vec::new();
        loop {
            self.now = self.supervisor.deadline().max(self.now).min(until);
            let mut out = Vec::new();
            self.supervisor.handle(self.now, Input::Time, &mut out);
            done.extend(out.into_iter().map(|action| (self.now, action)));
            if self.now == until {
                return done;
            }
        }
    }

    /// As `pass`, with roles that answer at once.
    fn pass_healthy(&mut self, until: Duration) {
        while self.now < until {
            self.now = self.supervisor.deadline().max(self.now).min(until);
            for action in self.give(Input::Time) {
                match action {
                    Action::Send(role, ToRole::Ping(number)) => {
                        assert_eq!(self.give(Input::Said(role, FromRole::Pong(number))), []);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn running() -> House {
        let mut house = House::new();
        assert_eq!(house.give(Input::Time), [Action::Start]);
        assert_eq!(house.give(Input::Started), []);
        assert_eq!(house.give(Input::Said(Role::Net, FromRole::Ready)), []);
        assert_eq!(house.give(Input::Said(Role::Gateway, FromRole::Ready)), [Action::Ready]);
        house
    }

    /// One role dies, the other is killed; how long until both are started again.
    fn crash(&mut self) -> Duration {
        let killed = self.give(Input::Exited(Role::Net, Exit::Code(1)));
        assert!(killed.contains(&Action::Kill(Role::Gateway)), "{killed:?}");
        let died = self.now;
        self.give(Input::Exited(Role::Gateway, Exit::Signal(9)));
        loop {
            self.now = self.supervisor.deadline().max(self.now);
            if self.give(Input::Time).contains(&Action::Start) {
                self.give(Input::Started);
                self.give(Input::Said(Role::Net, FromRole::Ready));
                return self.now - died;
            }
        }
    }
}

#[test]
fn pauses_double_up_to_the_limit_and_begin_anew_after_health() {
    let mut house = House::running();
    let pauses: Vec<u64> = (0..9).map(|_| house.crash().as_secs()).collect();
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    house.give(Input::Said(Role::Gateway, FromRole::Ready));
    let until = house.now + HEALTHY;
    house.pass_healthy(until);
    assert_eq!(house.crash(), S);
}

#[test]
fn what_cannot_be_started_is_tried_again() {
    let mut house = House::new();
    assert_eq!(house.give(Input::Time), [Action::Start]);
    assert!(matches!(&house.give(Input::NotStarted("no memory".into()))[..], [Action::Event(_)]));
    assert!(house.pass(S).contains(&(S, Action::Start)));
}

#[test]
fn a_change_is_the_gateway_s_to_make_while_it_serves() {
    let mut house = House::running();
    let change = ToRole::Change(Change::ForgetSettings);
    let told = house.give(Input::Change(Change::ForgetSettings));
    assert_eq!(told, [Action::Send(Role::Gateway, change)]);
    house.crash();
    house.give(Input::Exited(Role::Gateway, Exit::Code(1)));
    let told = house.give(Input::Change(Change::ForgetSettings));
    assert!(matches!(&told[..], [Action::Event(why)] if why.contains("nothing was changed")), "{told:?}");
}

#[test]
fn a_role_that_hangs_is_killed_with_the_other_and_both_start_again() {
    let mut house = House::running();
    let asked = house.pass(S);
    let number = asked.iter().find_map(|(_, action)| match action {
        Action::Send(Role::Gateway, ToRole::Ping(number)) => Some(*number),
        _ => None,
    });
    house.give(Input::Said(Role::Gateway, FromRole::Pong(number.unwrap())));
    let before = house.pass(S + PING_LIMIT - Duration::from_millis(1));
    assert!(!before.iter().any(|(_, action)| matches!(action, Action::Kill(_))));
    let at = house.pass(S + PING_LIMIT);
    assert!(at.contains(&(house.now, Action::Kill(Role::Net))));
    assert!(at.contains(&(house.now, Action::Kill(Role::Gateway))));
    house.give(Input::Exited(Role::Net, Exit::Signal(9)));
    house.give(Input::Exited(Role::Gateway, Exit::Signal(9)));
    let until = house.now + S;
    assert!(house.pass(until).contains(&(until, Action::Start)));
}

#[test]
fn a_wrong_or_repeated_pong_is_no_answer() {
    let mut house = House::running();
    house.pass(S);
    house.give(Input::Said(Role::Net, FromRole::Pong(7)));
    house.give(Input::Said(Role::Gateway, FromRole::Pong(0)));
    let done = house.pass(S + PING_LIMIT);
    assert!(done.iter().any(|(_, action)| *action == Action::Kill(Role::Net)));
}

#[test]
fn a_long_start_is_not_a_hang_but_has_its_limit() {
    let mut house = House::new();
    house.give(Input::Time);
    house.give(Input::Started);
    let done = house.pass(S + START_LIMIT - Duration::from_millis(1));
    assert!(!done.iter().any(|(_, action)| matches!(action, Action::Kill(_))));
    let done = house.pass(S + START_LIMIT);
    assert!(done.iter().any(|(_, action)| matches!(action, Action::Kill(_))));
}

#[test]
fn the_watchdog_starves_when_a_role_cannot_be_killed() {
    let mut house = House::running();
    let fed = |done: &[(Duration, Action)]| {
        done.iter().filter(|(_, action)| *action == Action::FeedWatchdog).map(|(at, _)| *at).max()
    };
    let done = house.pass(S + PING_LIMIT);
    assert!(fed(&done).unwrap() > S + PING_LIMIT - FEED_EVERY);
    house.give(Input::Exited(Role::Net, Exit::Signal(9)));
    let done = house.pass(S + PING_LIMIT * 10);
    assert!(fed(&done).unwrap() < S + PING_LIMIT * 2);
}

#[test]
fn many_deaths_in_an_hour_raise_one_alarm_that_the_gateway_is_told() {
    let mut house = House::running();
    for _ in 0..DEATHS_ALARM + 2 {
        house.crash();
    }
    let told = house.give(Input::Said(Role::Gateway, FromRole::Ready));
    let alarms = told.iter().filter(|action| {
        matches!(action, Action::Send(Role::Gateway, ToRole::Note(note)) if note.starts_with("alarm"))
    });
    assert_eq!(alarms.count(), 1);
}

#[test]
fn notes_for_an_absent_gateway_are_bounded() {
    let mut house = House::running();
    for _ in 0..NOTES_MAX * 2 {
        house.crash();
    }
    let told = house.give(Input::Said(Role::Gateway, FromRole::Ready));
    let notes = told.iter().filter(|action| matches!(action, Action::Send(_, ToRole::Note(_)))).count();
    assert_eq!(notes, NOTES_MAX);
}

#[test]
fn a_stop_lets_the_gateway_finish_and_then_ends_all() {
    let mut house = House::running();
    let told = house.give(Input::Stop(Ending::PowerOff));
    assert!(told.contains(&Action::Send(Role::Gateway, ToRole::Shutdown)));
    assert_eq!(house.give(Input::Stop(Ending::PowerOff)), []);
    let killed = house.give(Input::Said(Role::Gateway, FromRole::Stopped));
    assert_eq!(killed, [Action::Kill(Role::Net), Action::Kill(Role::Gateway)]);
    assert_eq!(house.give(Input::Exited(Role::Gateway, Exit::Code(0))), []);
    let end = house.give(Input::Exited(Role::Net, Exit::Signal(9)));
    assert_eq!(end, [Action::End(Ending::PowerOff)]);
}

#[test]
fn a_gateway_that_does_not_stop_is_given_its_time_and_no_more() {
    let mut house = House::running();
    house.give(Input::Stop(Ending::Exit));
    let done = house.pass(STOP_LIMIT - Duration::from_millis(1));
    assert!(!done.iter().any(|(_, action)| matches!(action, Action::Kill(_))));
    let done = house.pass(STOP_LIMIT);
    assert!(done.contains(&(STOP_LIMIT, Action::Kill(Role::Gateway))));
}

#[test]
fn a_stop_during_a_pause_or_a_restart_ends_without_another_start() {
    let mut house = House::running();
    house.give(Input::Exited(Role::Gateway, Exit::Code(1)));
    assert_eq!(house.give(Input::Stop(Ending::Restart)), []);
    let end = house.give(Input::Exited(Role::Net, Exit::Signal(9)));
    assert_eq!(end, [Action::End(Ending::Restart)]);

    let mut house = House::running();
    house.give(Input::Exited(Role::Gateway, Exit::Code(1)));
    house.give(Input::Exited(Role::Net, Exit::Signal(9)));
    assert_eq!(house.give(Input::Stop(Ending::Exit)), [Action::End(Ending::Exit)]);
}

#[test]
fn net_has_no_say_about_the_machine() {
    for message in [
        FromRole::Reboot,
        FromRole::PowerOff,
        FromRole::SetClock { unix_seconds: 0, nanoseconds: 0 },
        FromRole::Entropy([0; 32]),
    ] {
        let mut house = House::running();
        let out = house.give(Input::Said(Role::Net, message));
        assert!(out.contains(&Action::Kill(Role::Net)), "{out:?}");
        assert!(!out.iter().any(|action| matches!(action, Action::End(_) | Action::SetClock { .. })));
    }
    let mut house = House::running();
    let out = house.give(Input::Said(Role::Gateway, FromRole::Reboot));
    assert!(out.contains(&Action::Send(Role::Gateway, ToRole::Shutdown)));
}
