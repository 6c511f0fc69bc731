"""One process of the DICOM port serves several associations of an address, one after the other."""
import os
import re
import signal
import threading
from pathlib import Path

import pytest
from dimse_client import (EXPLICIT, IMPLICIT, SECONDARY_CAPTURE, VERIFICATION, Ended, Refused, dataset, pdu, pdv,
                          wait_for)
from test_dimse import STORAGE, files_of, make_dimse, uid  # noqa: F401

CT = "1.2.840.10008.5.1.4.1.1.2"


def store_one(association):
    """Stores an instance; its data set."""
    instance = uid()
    data = dataset(SECONDARY_CAPTURE, instance, pixels=os.urandom(1000))
    assert association.store(SECONDARY_CAPTURE, instance, data).status == 0
    return data


def one_after_the_other(dimse, count, **options):
    """Associations with an instance each; the processes that served them, and what they stored."""
    served, stored = [], []
    for _ in range(count):
        with dimse.connect(STORAGE, **options) as association:
            stored.append(store_one(association))
            served.append(next(p for p in dimse.processes("dimse-assoc") if len(sockets_of(p)) > 1))
            assert association.release()
    return served, stored


def sockets_of(pid):
    """Its channel, and its peer's while it serves one."""
    return [name for name in files_of(pid) if name == "socket"]


def filters_of(pid):
    return int(re.search(r"^Seccomp_filters:\t(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def test_a_process_serves_the_next_association_of_its_address(make_dimse):
    dimse = make_dimse(aes=["CT1@127.0.0.1", "CT2@127.0.0.1"])
    with dimse.connect([(SECONDARY_CAPTURE, [IMPLICIT]), (VERIFICATION, [IMPLICIT])], calling="CT1") as first:
        stored = [store_one(first)]
        [child] = dimse.processes("dimse-assoc")
        filters = filters_of(child)
        assert first.release()
    with dimse.connect([(VERIFICATION, [IMPLICIT]), (CT, [EXPLICIT])], calling="CT2", called="OTHER") as second:
        assert dimse.processes("dimse-assoc") == [child]
        assert second.accepted == {1: IMPLICIT, 3: EXPLICIT} and second.echo() == 0
        second.begin_store(SECONDARY_CAPTURE, uid(), context=3)  # of the association before
        second.send_dataset(3, b"\0" * 10)
        assert second.read_answer().status == 0x0122
        assert filters_of(child) > filters  # what the first has stored is out of reach
        assert second.release()
    with pytest.raises(Refused):
        dimse.connect(calling="CT3")  # who may is asked anew
    with dimse.connect(STORAGE, calling="CT2") as third:
        stored.append(store_one(third))
        assert third.release()
    assert all(dimse.holds(data) == 1 for data in stored)
    assert wait_for(lambda: len(dimse.events("association.ended")) == 3)
    assert [(e["calling"], e["stored"], e["refused"]) for e in dimse.events("association.ended")] == [
        ("CT1", 1, 0), ("CT2", 0, 1), ("CT2", 1, 0)]
    assert dimse.metric('zpacs_associations_refused_total{reason="calling_ae"}') == 1
    assert dimse.metric("zpacs_pack_alarms_total") == 0 and dimse.metric("zpacs_associations_died_total") == 0


def test_a_pack_stays_with_the_process(make_dimse):
    dimse = make_dimse()
    served, stored = one_after_the_other(dimse, 20)
    assert len(set(served)) == 1 and len(dimse.packs()) == 1
    assert all(dimse.holds(data) == 1 for data in stored)
    assert dimse.metric("zpacs_instances_stored_total") == 20 and dimse.metric("zpacs_pack_alarms_total") == 0


def test_so_many_associations_and_no_more(make_dimse):
    served, _ = one_after_the_other(make_dimse(associations_per_process=3), 7)
    assert [served.count(pid) for pid in dict.fromkeys(served)] == [3, 3, 1]


def test_each_its_own_process_if_so_configured(make_dimse):
    served, _ = one_after_the_other(make_dimse(associations_per_process=1), 3)
    assert len(set(served)) == 3


def test_another_address_never_gets_it(make_dimse):
    dimse = make_dimse(proxies=["127.0.0.1/32"], aes=["*@192.0.2.0/24"])
    proxy = [f"PROXY TCP4 192.0.2.{n} 127.0.0.1 1000 104\r\n".encode() for n in (1, 2)]
    first, _ = one_after_the_other(dimse, 2, before=proxy[0])
    second, _ = one_after_the_other(dimse, 2, before=proxy[1])
    again, _ = one_after_the_other(dimse, 1, before=proxy[0])
    assert first[0] == first[1] == again[0] and second[0] == second[1] != first[0]
    assert len(dimse.packs()) == 2


@pytest.mark.parametrize("amiss", [
    lambda a: a.abort(),
    lambda a: a.socket.close(),
    lambda a: a.socket.sendall(pdu(4, pdv(9, 3, b"\0" * 10))) or a.is_closed(within_s=5),
    lambda a: a.store(SECONDARY_CAPTURE, "1.2.3.1", b"\x55" * 500).status and a.release(),
], ids=["abort", "closed", "broken protocol", "an instance was refused"])
def test_a_process_in_which_something_was_amiss_ends(make_dimse, amiss):
    dimse = make_dimse()
    [first], stored = one_after_the_other(dimse, 1)
    with dimse.connect(STORAGE) as association:
        assert dimse.processes("dimse-assoc") == [first]
        stored.append(store_one(association))
        amiss(association)
        assert wait_for(lambda: not dimse.processes("dimse-assoc"))
    [second], more = one_after_the_other(dimse, 1)
    assert second != first and all(dimse.holds(data) == 1 for data in stored + more)


def test_who_rests_is_ended(make_dimse):
    dimse = make_dimse()
    _, [data] = one_after_the_other(dimse, 1)
    assert dimse.processes("dimse-assoc")
    assert wait_for(lambda: not dimse.processes("dimse-assoc"))
    assert dimse.holds(data) == 1
    assert dimse.metric("zpacs_associations_died_total") == 0


def test_who_rests_and_is_killed_is_missed_by_nobody(make_dimse):
    dimse = make_dimse()
    [first], stored = one_after_the_other(dimse, 1)
    os.kill(first, signal.SIGKILL)
    assert wait_for(lambda: dimse.events("association.died", signal="Killed"))
    [second], more = one_after_the_other(dimse, 1)
    assert first != second and all(dimse.holds(data) == 1 for data in stored + more)
    assert dimse.events("association.died")[0]["association"] == dimse.events("association.ended")[0]["association"]


def test_a_service_that_ends_waits_for_nobody_who_rests(make_dimse):
    dimse = make_dimse()
    _, [data] = one_after_the_other(dimse, 1)
    dimse.process.terminate()
    assert dimse.process.wait(10) == 0
    assert not dimse.processes("dimse-assoc") and not list(dimse.data.glob("packs/open/*.pack"))
    assert dimse.holds(data) == 1


def test_an_association_that_is_over_has_no_place(make_dimse):
    """Its sender comes again at once, when its process may still be there."""
    dimse = make_dimse(max_associations_per_address=8, max_associations=8)
    wrong = []

    def send():
        for _ in range(25):
            try:
                association = dimse.connect()
                assert association.echo() == 0
                assert association.release()
                association.close()
            except (Refused, Ended, OSError) as error:
                wrong.append(error)

    senders = [threading.Thread(target=send) for _ in range(8)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    assert not wrong
    assert wait_for(lambda: dimse.metric("zpacs_associations_accepted_total") == 200)
