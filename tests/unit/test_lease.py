from pipeline.reader.lease import Lease, boot_clock


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_lease_does_not_hold_before_the_first_answer() -> None:
    assert not Lease(7.0, Clock()).holds


def test_a_lease_holds_until_its_duration_has_passed_since_the_sending() -> None:
    clock = Clock()
    lease = Lease(7.0, clock)
    lease.renew(sent_at=clock.now - 2.0)

    clock.now += 4.9
    assert lease.holds

    clock.now += 0.2
    assert not lease.holds
    assert lease.left < 0


def test_an_older_answer_that_comes_late_takes_nothing_away() -> None:
    clock = Clock()
    lease = Lease(7.0, clock)
    lease.renew(sent_at=clock.now)

    lease.renew(sent_at=clock.now - 6.0)

    assert lease.left == 7.0


def test_a_lease_that_was_ended_does_not_hold_and_can_be_renewed() -> None:
    clock = Clock()
    lease = Lease(7.0, clock)
    lease.renew(sent_at=clock.now)

    lease.end()

    assert not lease.holds
    lease.renew(sent_at=clock.now)
    assert lease.holds


def test_the_boot_clock_never_goes_back() -> None:
    assert boot_clock() <= boot_clock()
