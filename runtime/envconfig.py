"""What to connect to, from a file and from the environment, by the names of ``temporalio.envconfig``.

    client = await Client.connect(**ClientConfig.load_client_connect_config())

The file is TOML with a table for each profile; ``TEMPORAL_CONFIG_FILE`` names it, by default it is
``temporalio/temporal.toml`` in the user's configuration folder. ``TEMPORAL_PROFILE`` chooses the profile, and
``TEMPORAL_ADDRESS``, ``TEMPORAL_NAMESPACE`` and the like override what it says. The address of a gateway is its socket,
``unix:/var/lib/overwinter/client.sock``; keys and certificates have no effect.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self, TypeAlias, TypedDict, cast

from .service import TLSConfig

__all__ = [
    "ClientConfig",
    "ClientConfigProfile",
    "ClientConfigProfileDict",
    "ClientConfigTLS",
    "ClientConfigTLSDict",
    "ClientConnectConfig",
    "ConfigError",
    "DataSource",
]

DataSource: TypeAlias = Path | str | bytes
"""A file by its path, or the contents of one."""


class ConfigError(RuntimeError):
    """The file or the environment says something that cannot be meant."""


class ClientConfigTLSDict(TypedDict, total=False):
    """A `ClientConfigTLS` in plain values."""

    disabled: bool | None
    server_name: str
    server_ca_cert: Mapping[str, str]
    client_cert: Mapping[str, str]
    client_key: Mapping[str, str]


class ClientConfigProfileDict(TypedDict, total=False):
    """A `ClientConfigProfile` in plain values."""

    address: str
    namespace: str
    api_key: str
    tls: ClientConfigTLSDict
    grpc_meta: Mapping[str, str]


class ClientConnectConfig(TypedDict, total=False):
    """The arguments of `Client.connect` that a profile can have."""

    target_host: str
    namespace: str
    api_key: str
    tls: bool | TLSConfig
    rpc_metadata: Mapping[str, str]


@dataclass(frozen=True)
class ClientConfigTLS:
    """What a profile says of encryption, which has no effect here; see `service.TLSConfig`."""

    disabled: bool | None = None
    server_name: str | None = None
    server_root_ca_cert: DataSource | None = None
    client_cert: DataSource | None = None
    client_private_key: DataSource | None = None

    def to_dict(self) -> ClientConfigTLSDict:
        """The same in plain values; what was not said is left out."""
        found: dict[str, Any] = {
            "disabled": self.disabled,
            "server_name": self.server_name,
            "server_ca_cert": _plain_source(self.server_root_ca_cert),
            "client_cert": _plain_source(self.client_cert),
            "client_key": _plain_source(self.client_private_key),
        }
        return cast(
            "ClientConfigTLSDict", {name: value for name, value in found.items() if value is not None}
        )

    def to_connect_tls_config(self) -> bool | TLSConfig:
        """The argument for `Client.connect`.

        Raises:
            OSError: a file that it names cannot be read.
        """
        if self.disabled is True:
            return False
        return TLSConfig(
            domain=self.server_name,
            server_root_ca_cert=_contents(self.server_root_ca_cert),
            client_cert=_contents(self.client_cert),
            client_private_key=_contents(self.client_private_key),
        )

    @classmethod
    def from_dict(cls, d: ClientConfigTLSDict | None) -> Self | None:
        """The reverse of `to_dict`; None for what is empty."""
        if not d:
            return None
        return cls(
            disabled=d.get("disabled"),
            server_name=d.get("server_name"),
            server_root_ca_cert=_source_of(d.get("server_ca_cert")),
            client_cert=_source_of(d.get("client_cert")),
            client_private_key=_source_of(d.get("client_key")),
        )


@dataclass(frozen=True)
class ClientConfigProfile:
    """What a file and the environment say of one connection."""

    address: str | None = None
    namespace: str | None = None
    api_key: str | None = None
    tls: ClientConfigTLS | None = None
    grpc_meta: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def from_dict(cls, d: ClientConfigProfileDict) -> Self:
        """The reverse of `to_dict`."""
        return cls(
            address=d.get("address"),
            namespace=d.get("namespace"),
            api_key=d.get("api_key"),
            tls=ClientConfigTLS.from_dict(d.get("tls")),
            grpc_meta=d.get("grpc_meta") or {},
        )

    def to_dict(self) -> ClientConfigProfileDict:
        """The same in plain values; what was not said is left out."""
        found: dict[str, Any] = {
            "address": self.address,
            "namespace": self.namespace,
            "api_key": self.api_key,
            "tls": (self.tls and self.tls.to_dict()) or None,
            "grpc_meta": self.grpc_meta or None,
        }
        return cast(
            "ClientConfigProfileDict", {name: value for name, value in found.items() if value is not None}
        )

    def to_client_connect_config(self) -> ClientConnectConfig:
        """The arguments for `Client.connect`.

        Raises:
            OSError: a certificate's file cannot be read.
        """
        config: ClientConnectConfig = {}
        if self.address:
            config["target_host"] = self.address
        if self.namespace is not None:
            config["namespace"] = self.namespace
        if self.api_key is not None:
            config["api_key"] = self.api_key
            config["tls"] = True
        if self.tls is not None:
            config["tls"] = self.tls.to_connect_tls_config()
        if self.grpc_meta:
            config["rpc_metadata"] = self.grpc_meta
        return config

    @staticmethod
    def load(
        profile: str | None = None,
        *,
        config_source: DataSource | None = None,
        disable_file: bool = False,
        disable_env: bool = False,
        config_file_strict: bool = False,
        override_env_vars: Mapping[str, str] | None = None,
    ) -> ClientConfigProfile:
        """One profile with what the environment overrides of it.

        `override_env_vars` is used in place of the process's environment. A file that does not exist is an empty one; a
        profile that was asked for by its name must be there.

        Raises:
            ConfigError: it cannot be read, contradicts itself, or has no such profile; with `config_file_strict` also for
                names that mean nothing.
            TypeError: `config_source` is neither path, text nor bytes.
        """
        if disable_file and disable_env:
            raise ConfigError("Invalid configuration: Cannot disable both file and environment loading")
        env = os.environ if override_env_vars is None else override_env_vars
        found = ClientConfigProfile()
        if not disable_file:
            named = profile if profile is not None or disable_env else env.get("TEMPORAL_PROFILE") or None
            profiles = _profiles(config_source, env, strict=config_file_strict)
            if named is not None and named not in profiles:
                raise ConfigError(f"Profile {named!r} not found")
            found = profiles.get(named or "default", found)
        return found if disable_env else _overridden(found, env)


@dataclass
class ClientConfig:
    """All profiles of a file."""

    profiles: Mapping[str, ClientConfigProfile]
    """By their names."""

    def to_dict(self) -> Mapping[str, ClientConfigProfileDict]:
        """The same in plain values."""
        return {name: profile.to_dict() for name, profile in self.profiles.items()}

    @classmethod
    def from_dict(cls, d: Mapping[str, Mapping[str, Any]]) -> Self:
        """The reverse of `to_dict`."""
        return cls(
            {
                name: ClientConfigProfile.from_dict(cast("ClientConfigProfileDict", each))
                for name, each in d.items()
            }
        )

    @staticmethod
    def load(
        *,
        config_source: DataSource | None = None,
        config_file_strict: bool = False,
        override_env_vars: Mapping[str, str] | None = None,
    ) -> ClientConfig:
        """The profiles of a file. The environment only says where it is.

        Raises:
            ConfigError, TypeError: as `ClientConfigProfile.load`.
        """
        env = os.environ if override_env_vars is None else override_env_vars
        return ClientConfig(_profiles(config_source, env, strict=config_file_strict))

    @staticmethod
    def load_client_connect_config(
        profile: str | None = None,
        *,
        config_file: str | None = None,
        disable_file: bool = False,
        disable_env: bool = False,
        config_file_strict: bool = False,
        override_env_vars: Mapping[str, str] | None = None,
    ) -> ClientConnectConfig:
        """The arguments for `Client.connect`, of one profile; see `ClientConfigProfile.load`.

        Raises:
            ConfigError: as `ClientConfigProfile.load`.
            OSError: a certificate's file cannot be read.
        """
        found = ClientConfigProfile.load(
            profile,
            config_source=Path(config_file) if config_file and not disable_file else None,
            disable_file=disable_file,
            disable_env=disable_env,
            config_file_strict=config_file_strict,
            override_env_vars=override_env_vars,
        )
        return found.to_client_connect_config()


# -- the file ----------------------------------------------------------------------------------------------------

_CERTIFICATES: Final = {
    "client_cert": "client_cert",
    "client_key": "client_private_key",
    "server_ca_cert": "server_root_ca_cert",
}
"""What the file and the environment call them, and the fields that they are in."""
_TLS_KEYS: Final[Mapping[str, type]] = {
    "disabled": bool,
    **{f"{name}_{form}": str for name in _CERTIFICATES for form in ("path", "data")},
    "server_name": str,
    "disable_host_verification": bool,
}
_CODEC_KEYS: Final[Mapping[str, type]] = {"endpoint": str, "auth": str}
_PROFILE_KEYS: Final[Mapping[str, type]] = {
    "address": str,
    "namespace": str,
    "api_key": str,
    "tls": dict,
    "codec": dict,
    "grpc_meta": dict,
}
_KINDS: Final[Mapping[type, str]] = {str: "a string", bool: "a boolean", dict: "a table"}


def _profiles(
    source: DataSource | None, env: Mapping[str, str], *, strict: bool
) -> dict[str, ClientConfigProfile]:
    text = _text(source, env)
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"Configuration loading error: TOML parse error: {error}") from error
    tables = _table(found, {"profile": dict}, "", strict=strict).get("profile", {})
    return {
        name: _profile(_checked(table, dict, f"profile.{name}"), f"profile.{name}", strict=strict)
        for name, table in tables.items()
    }


def _text(source: DataSource | None, env: Mapping[str, str]) -> str:
    if source is None:
        source = Path(env.get("TEMPORAL_CONFIG_FILE") or _usual_file())
    try:
        found = _contents(source) or b""
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ConfigError(f"Configuration loading error: {error}") from error
    try:
        return found.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"Configuration loading error: the file is not UTF-8: {error}") from error


def _usual_file() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(home) if home else Path.home() / ".config") / "temporalio" / "temporal.toml"


def _profile(table: Mapping[str, Any], where: str, *, strict: bool) -> ClientConfigProfile:
    given = _table(table, _PROFILE_KEYS, where, strict=strict)
    _table(given.get("codec", {}), _CODEC_KEYS, f"{where}.codec", strict=strict)
    meta = {
        name.lower().replace("_", "-"): _checked(value, str, f"{where}.grpc_meta.{name}")
        for name, value in given.get("grpc_meta", {}).items()
    }
    tls = _tls(given["tls"], f"{where}.tls", strict=strict) if "tls" in given else None
    return ClientConfigProfile(given.get("address"), given.get("namespace"), given.get("api_key"), tls, meta)


def _tls(table: Mapping[str, Any], where: str, *, strict: bool) -> ClientConfigTLS:
    given = _table(table, _TLS_KEYS, where, strict=strict)
    sources: dict[str, Any] = {}
    for name, attribute in _CERTIFICATES.items():
        path, data = given.get(f"{name}_path"), given.get(f"{name}_data")
        sources[attribute] = _one_source(path, data, f"{name}_path", f"{name}_data")
    return ClientConfigTLS(disabled=given.get("disabled"), server_name=given.get("server_name"), **sources)


def _table(
    given: Mapping[str, Any], known: Mapping[str, type], where: str, *, strict: bool
) -> Mapping[str, Any]:
    unknown = [name for name in given if name not in known]
    if unknown and strict:
        names = ", ".join(f"`{name}`" for name in known)
        place = f" in [{where}]" if where else ""
        raise ConfigError(
            f"Configuration loading error: TOML parse error{place}: unknown field `{unknown[0]}`, expected "
            f"{names if len(known) == 1 else f'one of {names}'}"
        )
    path = f"{where}." if where else ""
    return {name: _checked(given[name], kind, path + name) for name, kind in known.items() if name in given}


def _checked(value: Any, kind: type, where: str) -> Any:
    if isinstance(value, kind):
        return value
    raise ConfigError(
        f"Configuration loading error: TOML parse error: {where} is of type {type(value).__name__}, expected {_KINDS[kind]}"
    )


# -- the environment ------------------------------------------------------------------------------------------------

_META_PREFIX: Final = "TEMPORAL_GRPC_META_"


def _overridden(profile: ClientConfigProfile, env: Mapping[str, str]) -> ClientConfigProfile:
    meta = dict(profile.grpc_meta)
    for name, value in env.items():
        if name.startswith(_META_PREFIX):
            key = name.removeprefix(_META_PREFIX).lower().replace("_", "-")
            if value:
                meta[key] = value
            else:
                meta.pop(key, None)
    return ClientConfigProfile(
        address=env.get("TEMPORAL_ADDRESS", profile.address),
        namespace=env.get("TEMPORAL_NAMESPACE", profile.namespace),
        api_key=env.get("TEMPORAL_API_KEY", profile.api_key),
        tls=_overridden_tls(profile.tls, env),
        grpc_meta=meta,
    )


def _overridden_tls(tls: ClientConfigTLS | None, env: Mapping[str, str]) -> ClientConfigTLS | None:
    if not any(name == "TEMPORAL_TLS" or name.startswith("TEMPORAL_TLS_") for name in env):
        return tls
    found = tls or ClientConfigTLS()
    switch = {"true": False, "1": False, "false": True, "0": True}.get(env.get("TEMPORAL_TLS", "").lower())
    if switch is not None:
        found = replace(found, disabled=switch)
    if "TEMPORAL_TLS_SERVER_NAME" in env:
        found = replace(found, server_name=env["TEMPORAL_TLS_SERVER_NAME"])
    sources: dict[str, Any] = {
        attribute: _certificate(name, getattr(found, attribute), env)
        for name, attribute in _CERTIFICATES.items()
    }
    return replace(found, **sources)


def _certificate(name: str, before: DataSource | None, env: Mapping[str, str]) -> DataSource | None:
    at, of = f"TEMPORAL_TLS_{name.upper()}_PATH", f"TEMPORAL_TLS_{name.upper()}_DATA"
    source = _one_source(env.get(at), env.get(of), at, of)
    if source is None or before is None or isinstance(source, Path) == isinstance(before, Path):
        return before if source is None else source
    kind = name.replace("server_", "").replace("client_", "").replace("_", " ")
    now, then = ("path", "data") if isinstance(source, Path) else ("data", "path")
    raise ConfigError(
        f"Invalid configuration: Cannot specify {kind} {now} via {at if now == 'path' else of} when {kind} {then} is "
        "already specified"
    )


# -- sources ------------------------------------------------------------------------------------------------------------


def _one_source(path: str | None, data: str | None, path_name: str, data_name: str) -> DataSource | None:
    if path is not None and data is not None:
        raise ConfigError(f"Invalid configuration: Cannot specify both {path_name} and {data_name}")
    if path is not None:
        return Path(path)
    return None if data is None else data.encode()


def _contents(source: DataSource | None) -> bytes | None:
    match source:
        case None | bytes():
            return source
        case Path():
            return source.read_bytes()
        case str():
            return source.encode()
        case _:
            raise TypeError(
                f"config_source must be one of pathlib.Path, str, bytes, or None, but got {type(source).__name__}"
            )


def _plain_source(source: DataSource | None) -> Mapping[str, str] | None:
    match source:
        case None:
            return None
        case Path():
            return {"path": str(source)}
        case bytes():
            return {"data": source.decode()}
        case str():
            return {"data": source}


def _source_of(found: Mapping[str, str] | None) -> DataSource | None:
    if not found:
        return None
    return found["data"] if "data" in found else Path(found["path"]) if "path" in found else None
