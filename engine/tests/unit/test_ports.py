"""No two workers of the tests are given one port."""

from ..ports import below_outgoing, free_port, share_of


def test_workers_share_no_port_and_leave_none() -> None:
    ports = below_outgoing(32_768)
    shares = [set(share_of(ports, f"gw{number}", 3)) for number in range(3)]
    assert set.union(*shares) == set(ports)
    assert sum(map(len, shares)) == len(ports)


def test_outgoing_connections_and_privileged_ports_are_left_out() -> None:
    assert below_outgoing(32_768)[-1] == 32_767
    assert below_outgoing(10_000)[0] == 1_024


def test_a_port_is_given_once() -> None:
    given = [free_port() for _ in range(20)]
    assert len(set(given)) == len(given)
