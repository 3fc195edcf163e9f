"""SIGTERM and Ctrl-C: first what is under way is made safe, then the command ends."""

import os
import signal
import threading

import pytest

from raynef.cluster.interrupt import Terminated, on_interrupt, terminable


@pytest.fixture(autouse=True)
def handlers():
    """As they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


def test_sigterm_ends_a_command_as_ctrl_c_does():
    terminable()
    with pytest.raises(Terminated) as ended:
        signal.raise_signal(signal.SIGTERM)
    assert isinstance(ended.value, KeyboardInterrupt)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_under_way_is_made_safe_first(number, handlers):
    done = []
    with pytest.raises(KeyboardInterrupt), on_interrupt(lambda: done.append("safe")):
        signal.raise_signal(number)
    assert done == ["safe"]
    assert {n: signal.getsignal(n) for n in handlers} == handlers


def test_a_second_signal_does_not_wait():
    def slow():
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(30)

    with pytest.raises(Terminated), on_interrupt(slow):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_thread_is_left_alone(handlers):
    ran = []

    def work():
        terminable()
        with on_interrupt(lambda: ran.append("safe")):
            ran.append("ran")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran == ["ran"]
    assert {n: signal.getsignal(n) for n in handlers} == handlers
