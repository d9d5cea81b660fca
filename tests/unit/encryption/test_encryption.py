"""Payloads that are encrypted, and the keys that do it."""

from __future__ import annotations

import base64
import logging
import os
import random
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import WorkflowFailureError
from overwinter.runtime.common import RetryPolicy
from overwinter.runtime.contrib.encryption import AesGcmCodec, PayloadNotAuthentic, key_ids_in
from overwinter.runtime.contrib.key_ring import Key, KeyRing, KeyRingError, UnknownKey
from overwinter.runtime.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    ExternalStorage,
    FileStorageDriver,
)
from overwinter.runtime.core import codec
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.exceptions import ApplicationError
from overwinter.runtime.journal import MemoryJournal
from tests.unit.external_storage.sites import Site
from tests.unit.gateways import QUEUE

PLAIN = Payload({"encoding": b"json/plain"}, b'"what only the farmer knows"')
SECRET = "what only the farmer knows"


def line(key: Key) -> str:
    return f"{key.id} {base64.b64encode(key.secret).decode()}\n"


# -- payloads ----------------------------------------------------------------------------------------


def test_what_is_encrypted_comes_back_whatever_it_was() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    some = random.Random(seed)
    payloads = [
        Payload({"encoding": some.randbytes(5), "x": some.randbytes(3)}, some.randbytes(some.randrange(2000)))
        for _ in range(100)
    ]
    payloads += [Payload({}, b""), Payload({"encoding": b"binary/null"}, b"")]
    ring = KeyRing(Key.new())
    sealed = AesGcmCodec(ring).encode_now(payloads)
    assert AesGcmCodec(ring).decode_now(sealed) == payloads
    assert all(
        payload.data not in found.data
        for payload, found in zip(payloads, sealed, strict=True)
        if len(payload.data) > 8
    )


def test_the_newest_key_encrypts_and_all_decrypt() -> None:
    old, new = Key.new(), Key.new()
    secret = AesGcmCodec(KeyRing(old))
    (before,) = secret.encode_now([PLAIN])
    secret.use(KeyRing(old).with_new(new))
    (after,) = secret.encode_now([PLAIN])
    assert [payload.metadata["encryption-key-id"].decode() for payload in (before, after)] == [old.id, new.id]
    assert secret.decode_now([before, after]) == [PLAIN, PLAIN]


def test_an_unknown_key_is_named_and_what_is_not_encrypted_is_read_as_it_is() -> None:
    (sealed,) = AesGcmCodec(KeyRing(Key("lost", os.urandom(32)))).encode_now([PLAIN])
    other = AesGcmCodec(KeyRing(Key("kept", os.urandom(32))))
    with pytest.raises(UnknownKey, match=r"'lost'.*it has kept"):
        other.decode_now([sealed])
    assert other.decode_now([PLAIN]) == [PLAIN]


def test_each_flipped_bit_and_each_exchanged_key_id_is_seen() -> None:
    one, two = Key("one", os.urandom(32)), Key("two", os.urandom(32))
    secret = AesGcmCodec(KeyRing(one, two))
    (sealed,) = secret.encode_now([PLAIN])
    for index in range(len(sealed.data)):
        changed = bytearray(sealed.data)
        changed[index] ^= 1 << index % 8
        with pytest.raises(PayloadNotAuthentic, match="'two'"):
            secret.decode_now([Payload(sealed.metadata, bytes(changed))])
    for cut in (0, 10, 28, 43, len(sealed.data) - 1):
        with pytest.raises(PayloadNotAuthentic):
            secret.decode_now([Payload(sealed.metadata, sealed.data[:cut])])
    # The same secret under another id: only what is authenticated beside it tells them apart.
    same = AesGcmCodec(KeyRing(two, Key("copy", two.secret)))
    with pytest.raises(PayloadNotAuthentic):
        same.decode_now([Payload(sealed.metadata | {"encryption-key-id": b"copy"}, sealed.data)])


def test_no_nonce_comes_twice_under_one_key_also_after_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = AesGcmCodec(KeyRing(Key.new()))
    heads = {payload.data[:28] for payload in secret.encode_now([PLAIN] * 1000)}
    assert len({head[:16] for head in heads}) == 1
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)
    heads |= {payload.data[:28] for payload in secret.encode_now([PLAIN] * 10)}
    assert len(heads) == 1010
    assert (
        len({head[:16] for head in heads}) == 2
    )  # Its parent's salt and counter would give the parent's nonces.


def test_the_ids_of_keys_are_found_in_what_is_stored() -> None:
    one, two = Key("one", os.urandom(32)), Key("t" * 64, os.urandom(32))
    payloads = [AesGcmCodec(KeyRing(key)).encode_now([PLAIN])[0] for key in (one, two, one)]
    assert list(key_ids_in(codec.encode_payloads(tuple(payloads)))) == ["one", "t" * 64, "one"]
    assert list(key_ids_in(payloads[0].SerializeToString())) == ["one"]
    assert list(key_ids_in(codec.encode_payloads((PLAIN,)))) == []


# -- keys --------------------------------------------------------------------------------------------


def test_a_ring_is_written_for_its_owner_alone_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    ring = KeyRing(Key.new()).with_new(Key.new())
    ring.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeyRing.from_file(path).keys == ring.keys
    assert KeyRing.from_file(path).current == ring.current
    assert [each.name for each in tmp_path.iterdir()] == ["keys"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_ring_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys"
    KeyRing(Key.new()).write(path)
    path.chmod(mode)
    with pytest.raises(KeyRingError, match=f"mode {mode:04o}, expected 0600"):
        KeyRing.from_file(path)


def test_rings_come_from_systemd_and_from_the_environment(tmp_path: Path) -> None:
    key = Key.new()
    KeyRing(key).write(tmp_path / "payload-keys")
    assert KeyRing.from_credential("payload-keys", {"CREDENTIALS_DIRECTORY": str(tmp_path)}).current == key
    with pytest.raises(KeyRingError, match=r"\$CREDENTIALS_DIRECTORY is not set"):
        KeyRing.from_credential("payload-keys", {})
    assert KeyRing.from_environment("KEYS", {"KEYS": "# spring\n" + line(key)}).current == key
    with pytest.raises(KeyRingError, match="KEYS is not set"):
        KeyRing.from_environment("KEYS", {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "at least one key"),
        ("aGVsbG8gd29ybGQ=\n", "line 1 is no key"),
        ("one TOPSECRET!\n", "the key one is not base64"),
        ("one aGVsbG8=\n", "has 5 bytes, expected 32"),
        (line(Key("same", bytes(32))) + line(Key("same", bytes(32))), "the same id"),
    ],
)
def test_a_ring_that_is_wrong_is_refused_without_showing_what_is_secret(text: str, words: str) -> None:
    with pytest.raises(KeyRingError, match=words) as refused:
        KeyRing.from_text(text, "the file")
    assert all(secret not in str(refused.value) for secret in ("TOPSECRET", "aGVsbG8", "AAAAAAAA"))


# -- in executions -----------------------------------------------------------------------------------


@activity.defn
async def fails(text: str) -> str:
    activity.heartbeat(text)
    raise ApplicationError(f"the message says {text}", text, non_retryable=True)


@workflow.defn
class Tells:
    @workflow.run
    async def run(self, text: str) -> str:
        try:
            await workflow.execute_activity(
                fails,
                text,
                start_to_close_timeout=timedelta(seconds=9),
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        except Exception as error:
            raise ApplicationError(f"no: {error.__cause__}") from error
        return text


async def test_nothing_of_a_value_is_in_the_journal_or_in_files_or_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ring = KeyRing(Key.new())
    data = DataConverter(
        payload_codec=AesGcmCodec(ring),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
        external_storage=ExternalStorage(drivers=[FileStorageDriver(tmp_path)], payload_size_threshold=4000),
    )
    journal = MemoryJournal()
    site = Site(data, [Tells], [fails], journal)
    large = SECRET * 200
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.CRITICAL, "overwinter.activity")  # It logs a failing attempt with its own words.
    async with site.on() as client:
        for workflow_id, text in (("small", SECRET), ("large", large)):
            with pytest.raises(WorkflowFailureError) as failed:
                await client.execute_workflow(Tells.run, text, id=workflow_id, task_queue=QUEUE)
            assert text in str(failed.value.__cause__)
    async with site.on() as client:  # Read again from the journal.
        with pytest.raises(WorkflowFailureError) as failed:
            await client.get_workflow_handle("large").result()
        assert f"the message says {large}" in str(failed.value.__cause__)
    last = (await journal.last_ids()).lsn
    stored = [data for _, data in await journal.events_with(b"", 0, last)]
    stored += [path.read_bytes() for path in tmp_path.iterdir()]
    assert stored
    secret = ring.current.secret
    for found in (*stored, caplog.text.encode(), repr(ring).encode(), repr(ring.current).encode()):
        assert b"farmer" not in found
        assert secret not in found
        assert base64.b64encode(secret) not in found


async def test_without_the_codec_the_harness_sees_the_value() -> None:
    journal = MemoryJournal()
    async with Site(DataConverter.default, [Tells], [fails], journal).on() as client:
        with pytest.raises(WorkflowFailureError):
            await client.execute_workflow(Tells.run, SECRET, id="one", task_queue=QUEUE)
    last = (await journal.last_ids()).lsn
    assert any(b"farmer" in data for _, data in await journal.events_with(b"", 0, last))
