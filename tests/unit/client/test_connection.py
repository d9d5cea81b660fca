"""The options that programs give to connect to a server, and what becomes of them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import (
    BuildIdOpAddNewDefault,
    Client,
    ClientConfig,
    ConnectConfig,
    HttpConnectProxyConfig,
    KeepAliveConfig,
    Plugin,
    RetryConfig,
    RPCError,
    RPCStatusCode,
    ServiceClient,
    TLSConfig,
)
from overwinter.runtime.common import HeaderCodecBehavior
from overwinter.runtime.envconfig import ClientConfigProfile
from overwinter.runtime.journal import JournalHeld
from overwinter.runtime.runtime import MetricBuffer, Runtime, TelemetryConfig
from overwinter.runtime.service import DnsLoadBalancingConfig, GrpcCompression, PayloadLimitsConfig
from overwinter.runtime.testing import WorkflowEnvironment
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, Gateway


@workflow.defn
class Greet:
    @workflow.run
    async def run(self, name: str) -> str:
        workflow.metric_meter().create_counter("greeted").add(1)
        return f"hello {name}"


@workflow.defn
class Wait:
    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


@activity.defn
async def nothing() -> None: ...


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `Client.connect` opens the journal of this process."""
    path = tmp_path / "journal.db"
    monkeypatch.setenv("OVERWINTER_JOURNAL", str(path))
    return path


async def test_a_program_for_a_server_runs_with_all_its_options(journal: Path) -> None:
    client = await Client.connect(
        "farm.tmprl.cloud:7233",
        namespace="farm",
        api_key="key",
        tls=TLSConfig(client_cert=b"cert", client_private_key=b"key"),
        retry_config=RetryConfig(max_retries=3),
        keep_alive_config=KeepAliveConfig(interval_millis=1000),
        connect_timeout=timedelta(seconds=1),
        rpc_metadata={"a": "b"},
        identity="me",
        lazy=True,
        http_connect_proxy_config=HttpConnectProxyConfig(target_host="proxy:80"),
        dns_load_balancing_config=DnsLoadBalancingConfig.default,
        grpc_compression=GrpcCompression.NONE,
        payload_limits=PayloadLimitsConfig(payloads_warn_size=0),
        header_codec_behavior=HeaderCodecBehavior.CODEC,
    )
    assert (client.namespace, client.api_key, client.identity) == ("farm", "key", "me")
    assert client.service_client.config.target_host == "farm.tmprl.cloud:7233"
    async with Worker(client, task_queue=QUEUE, workflows=[Greet]):
        assert await client.execute_workflow(Greet.run, "you", id="w", task_queue=QUEUE) == "hello you"
    assert journal.exists()


async def test_a_profile_is_what_connect_takes(journal: Path) -> None:
    del journal
    profile = ClientConfigProfile.load(
        config_source="[profile.default]\naddress='x:1'\napi_key='k'", disable_env=True
    )
    client = await Client.connect(**profile.to_client_connect_config())
    assert (client.api_key, client.service_client.config.tls) == ("k", True)


async def test_half_a_certificate_is_refused(journal: Path) -> None:
    with pytest.raises(ValueError, match="Must have both client cert and private key or neither"):
        await Client.connect("x:1", tls=TLSConfig(client_cert=b"cert"))
    assert not journal.exists()


async def test_an_option_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'tsl'"):
        await Client.connect("x:1", tsl=True)  # type: ignore[call-arg]  # the mistake that is tested


async def test_credentials_and_metadata_can_be_changed(gateway: Gateway) -> None:
    async with gateway.on([Wait], [nothing]) as client:
        client.api_key, client.rpc_metadata = "new", {"a": "b", "c-bin": b"d"}
        assert (client.api_key, client.rpc_metadata) == ("new", {"a": "b", "c-bin": b"d"})
        for wrong in ({"a": b"b"}, {"a-bin": "b"}):
            with pytest.raises(TypeError, match="names that end in '-bin' have bytes"):
                client.rpc_metadata = wrong
        assert client.rpc_metadata == {"a": "b", "c-bin": b"d"}


async def test_clients_of_one_connection_share_its_engine_and_its_identity(gateway: Gateway) -> None:
    async with gateway.on([Greet], [nothing]) as client:
        assert client.identity == f"{os.getpid()}@{socket.gethostname()}"
        other = Client(client.service_client, namespace="other")
        assert other.config()["service_client"] is client.service_client
        assert (other.namespace, other.identity) == ("other", client.identity)
        assert await other.execute_workflow(Greet.run, "x", id="w", task_queue=QUEUE) == "hello x"


async def test_the_identity_is_recorded_with_what_a_person_does(gateway: Gateway) -> None:
    async with gateway.on([Wait], [nothing]) as client:
        other = Client(ServiceClient(ConnectConfig(target_host="", identity="anna"), client.engine))
        handle = await other.start_workflow(Wait.run, id="w", task_queue=QUEUE)
        await handle.pause(reason="frost")
        pause = (await handle.describe()).pause
        assert pause is not None
        assert pause.identity == "anna"


async def test_health_is_that_of_the_engine() -> None:
    environment = await WorkflowEnvironment.start_local()
    connection = environment.client.service_client
    assert await connection.check_health()
    with pytest.raises(RPCError) as refused:
        await connection.check_health(service="none")
    assert refused.value.status == RPCStatusCode.NOT_FOUND
    await environment.shutdown()
    assert not await connection.check_health(timeout=timedelta(seconds=1))


@pytest.mark.parametrize("service", ["workflow_service", "operator_service", "test_service"])
async def test_a_call_of_grpc_is_refused_by_its_name(gateway: Gateway, service: str) -> None:
    async with gateway.on([Wait], [nothing]) as client:
        with pytest.raises(RPCError, match=f"{service}.list_namespaces") as refused:
            await getattr(client, service).list_namespaces(object(), timeout=timedelta(seconds=1))
        assert refused.value.status == RPCStatusCode.UNIMPLEMENTED


async def test_sets_of_build_ids_are_refused(gateway: Gateway) -> None:
    async with gateway.on([Wait], [nothing]) as client:
        calls = (
            client.update_worker_build_id_compatibility(QUEUE, BuildIdOpAddNewDefault("1")),
            client.get_worker_build_id_compatibility(QUEUE),
            client.get_worker_task_reachability(["1"], [QUEUE]),
        )
        for call in calls:
            with pytest.raises(RPCError, match=f"{QUEUE}.* has no sets of build ids") as refused:
                await call
            assert refused.value.status == RPCStatusCode.UNIMPLEMENTED


class Watching(Plugin):
    def __init__(self) -> None:
        self.seen: list[ConnectConfig] = []

    def configure_client(self, config: ClientConfig) -> ClientConfig:
        return config

    async def connect_service_client(
        self, config: ConnectConfig, next: Callable[[ConnectConfig], Awaitable[ServiceClient]]
    ) -> ServiceClient:
        self.seen.append(config)
        config.api_key = "of the plugin"
        return await next(config)


async def test_plugins_stand_around_every_connection(journal: Path) -> None:
    del journal
    outer, inner = Watching(), Watching()
    client = await Client.connect("x:1", plugins=[outer, inner], api_key="of the program")
    assert outer.seen == inner.seen == [client.service_client.config]
    assert client.api_key == "of the plugin"


@pytest.mark.parametrize("skipping", [False, True])
async def test_connect_finds_a_test_environment_by_its_address(skipping: bool, journal: Path) -> None:
    start: Any = WorkflowEnvironment.start_time_skipping if skipping else WorkflowEnvironment.start_local
    async with await start(port=7233) as first, await start() as second:
        assert first.client.service_client.config.target_host == "127.0.0.1:7233"
        for address, expected in (
            ("localhost:7233", first),
            ("127.0.0.1:7233", first),
            (second.client.service_client.config.target_host, second),
        ):
            client = await Client.connect(address, identity="other")
            assert client.engine is expected.client.engine
    assert not journal.exists()
    assert (await Client.connect("localhost:7233")).engine is not first.client.engine
    assert journal.exists()


async def test_another_client_of_an_environment_has_the_options_of_the_first() -> None:
    buffer = MetricBuffer(100)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=buffer))
    async with await WorkflowEnvironment.start_local(
        namespace="farm", rpc_metadata={"a": "b"}, runtime=runtime, identity="first"
    ) as environment:
        client = await environment.connect_client(lazy=True, api_key="k")
        assert (client.namespace, client.rpc_metadata, client.api_key) == ("farm", {"a": "b"}, "k")
        async with Worker(client, task_queue=QUEUE, workflows=[Greet]):
            await client.execute_workflow(Greet.run, "x", id="w", task_queue=QUEUE)
        assert "greeted" in [update.metric.name for update in buffer.retrieve_updates()]
        elsewhere = Runtime(telemetry=TelemetryConfig())
        async with Worker(environment.client, task_queue=QUEUE, workflows=[Greet]) as worker:
            worker.client = client
            with pytest.raises(ValueError, match="New client is not on the same runtime"):
                worker.client = await environment.connect_client(runtime=elsewhere)


async def test_a_worker_of_an_unknown_namespace_is_refused_in_a_test_environment(journal: Path) -> None:
    async with await WorkflowEnvironment.start_local(namespace="farm") as environment:
        for namespace in ("farm", "default"):
            known = await environment.connect_client(namespace=namespace)
            async with Worker(known, task_queue=QUEUE, workflows=[Greet]):
                await known.execute_workflow(Greet.run, "x", id=namespace, task_queue=QUEUE)
        unknown = Client(environment.client.service_client, namespace="moon")
        with pytest.raises(RuntimeError, match="Worker validation failed: namespace 'moon' is not found"):
            await Worker(unknown, task_queue=QUEUE, workflows=[Greet]).run()
        with pytest.raises(RuntimeError, match="Worker validation failed"):
            async with Worker(unknown, task_queue=QUEUE, workflows=[Greet]):
                pass
    any_name = await Client.connect("x:1", namespace="moon")
    async with Worker(any_name, task_queue=QUEUE, workflows=[Greet]):
        assert await any_name.execute_workflow(Greet.run, "x", id="w", task_queue=QUEUE) == "hello x"
    assert journal.exists()


async def test_a_program_that_comes_second_is_a_client_of_the_first_ones_engine(journal: Path) -> None:
    """As a starter beside a worker: the journal is held, by another event loop here, and it answers beside it."""
    first = await Client.connect("localhost:7233")

    async def second() -> str:
        client = await Client.connect("localhost:7233")
        with pytest.raises(RuntimeError, match="run a worker where the engine is"):
            Worker(client, task_queue=QUEUE, workflows=[Greet])
        result: str = await client.execute_workflow(Greet.run, "you", id="w", task_queue=QUEUE)
        await client.close()
        return result

    async with Worker(first, task_queue=QUEUE, workflows=[Greet]):
        assert await asyncio.to_thread(lambda: asyncio.run(second())) == "hello you"
    assert await first.get_workflow_handle("w").result() == "hello you"
    assert journal.with_name("journal.db.sock").is_socket()


async def test_a_journal_whose_holder_does_not_answer_is_refused(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overwinter.runtime.client._connecting._PATIENCE_S", 0.0)
    async with Client.open(journal):
        with pytest.raises(JournalHeld, match="is in use by"):
            await asyncio.to_thread(lambda: asyncio.run(Client.connect("x:1")))


def test_the_socket_goes_with_the_event_loop_and_the_next_one_has_its_own(journal: Path) -> None:
    async def run() -> bool:
        client = await Client.connect("x:1")
        async with Worker(client, task_queue=QUEUE, workflows=[Greet]):
            await client.execute_workflow(Greet.run, "you", id="w", task_queue=QUEUE)
        return journal.with_name("journal.db.sock").exists()

    for _ in range(2):
        assert asyncio.run(run())
        assert not journal.with_name("journal.db.sock").exists()


async def test_an_engine_whose_socket_cannot_be_made_serves_its_own_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    monkeypatch.setenv("OVERWINTER_JOURNAL", str(folder / "journal.db"))
    client = await Client.connect("x:1")
    assert "programs in other processes cannot connect" in caplog.text
    async with Worker(client, task_queue=QUEUE, workflows=[Greet]):
        assert await client.execute_workflow(Greet.run, "x", id="w", task_queue=QUEUE) == "hello x"
