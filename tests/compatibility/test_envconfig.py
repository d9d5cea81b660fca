"""Profiles of connections are read from files and the environment as Temporal's SDK reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from overwinter.runtime import envconfig as ours

theirs = pytest.importorskip("temporalio.envconfig")

FILE = """
[profile.default]
address = "unix:/run/client.sock"
namespace = "farm"
[profile.other]
address = "elsewhere:7233"
api_key = "k"
[profile.other.tls]
server_name = "s"
client_cert_path = "/cert"
client_key_data = "key"
[profile.other.grpc_meta]
Some_Header = "v"
[profile.other.codec]
endpoint = "e"
"""

PROFILES: dict[str, dict[str, Any]] = {
    "the default profile": {"config_source": FILE},
    "another profile": {"config_source": FILE, "profile": "other"},
    "a profile by the environment": {
        "config_source": FILE,
        "override_env_vars": {"TEMPORAL_PROFILE": "other"},
    },
    "a profile of the environment that is not looked at": {
        "config_source": FILE,
        "disable_env": True,
        "override_env_vars": {"TEMPORAL_PROFILE": "other"},
    },
    "a profile that is missing": {"config_source": FILE, "profile": "none"},
    "a profile by the environment that is missing": {
        "config_source": FILE,
        "override_env_vars": {"TEMPORAL_PROFILE": "none"},
    },
    "the default profile by its name, missing": {"config_source": "", "profile": "default"},
    "a profile without a name": {"config_source": FILE, "profile": ""},
    "no default profile": {"config_source": "[profile.a]\naddress='b'"},
    "bytes": {"config_source": FILE.encode()},
    "a file that is missing": {"config_source": Path("/does/not/exist")},
    "a folder": {"config_source": Path("/")},
    "neither path nor text": {"config_source": 3},
    "not UTF-8": {"config_source": b"\xff"},
    "not TOML": {"config_source": "this is none"},
    "neither file nor environment": {"disable_file": True, "disable_env": True},
    "a number as an address": {"config_source": "[profile.default]\naddress=3"},
    "a number as a header": {"config_source": "[profile.default.grpc_meta]\na=3"},
    "a number as tls": {"config_source": "[profile.default]\ntls=3"},
    "text as a switch": {"config_source": "[profile.default.tls]\ndisabled='q'"},
    "a number as all profiles": {"config_source": "profile=3"},
    "an unknown name": {"config_source": "[profile.default]\nfoo=3\naddress='a'"},
    "an unknown name, strict": {"config_source": "[profile.default]\nfoo=3", "config_file_strict": True},
    "an unknown name of another profile, strict": {
        "config_source": "[profile.z]\nfoo=3",
        "config_file_strict": True,
    },
    "an unknown name at the top, strict": {"config_source": "foo=3", "config_file_strict": True},
    "an unknown name of tls, strict": {
        "config_source": "[profile.default.tls]\nfoo=3",
        "config_file_strict": True,
    },
    "an unknown name of a codec, strict": {
        "config_source": "[profile.default.codec]\nfoo=3",
        "config_file_strict": True,
    },
    "every known name, strict": {"config_source": FILE, "config_file_strict": True},
    "an empty address": {"config_source": "[profile.default]\naddress=''"},
    "tls with nothing in it": {"config_source": "[profile.default.tls]"},
    "tls that is off": {
        "config_source": "[profile.default]\napi_key='k'\n[profile.default.tls]\ndisabled=true"
    },
    "two sources of a certificate": {
        "config_source": "[profile.default.tls]\nclient_cert_path='a'\nclient_cert_data='b'"
    },
    "two sources of a key": {
        "config_source": "[profile.default.tls]\nclient_key_path='a'\nclient_key_data='b'"
    },
    "two sources of a root": {
        "config_source": "[profile.default.tls]\nserver_ca_cert_path='a'\nserver_ca_cert_data='b'"
    },
    "a path in the file, data in the environment": {
        "config_source": "[profile.default.tls]\nserver_ca_cert_path='a'",
        "override_env_vars": {"TEMPORAL_TLS_SERVER_CA_CERT_DATA": "b"},
    },
    "data in the file, a path in the environment": {
        "config_source": "[profile.default.tls]\nclient_key_data='a'",
        "override_env_vars": {"TEMPORAL_TLS_CLIENT_KEY_PATH": "b"},
    },
    "a path in the file, another in the environment": {
        "config_source": "[profile.default.tls]\nclient_key_path='a'",
        "override_env_vars": {"TEMPORAL_TLS_CLIENT_KEY_PATH": "b"},
    },
}

ENVIRONMENTS: dict[str, dict[str, str]] = {
    "nothing": {},
    "all of a connection": {
        "TEMPORAL_ADDRESS": "a",
        "TEMPORAL_NAMESPACE": "n",
        "TEMPORAL_API_KEY": "k",
        "TEMPORAL_GRPC_META_A_B": "v",
        "TEMPORAL_TLS_SERVER_NAME": "s",
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": "p",
        "TEMPORAL_TLS_CLIENT_CERT_DATA": "c",
        "TEMPORAL_TLS_CLIENT_KEY_DATA": "d",
    },
    "empty": {"TEMPORAL_ADDRESS": "", "TEMPORAL_NAMESPACE": "", "TEMPORAL_API_KEY": ""},
    "a header that is taken away": {"TEMPORAL_GRPC_META_SOME_HEADER": ""},
    "two sources": {"TEMPORAL_TLS_CLIENT_CERT_PATH": "a", "TEMPORAL_TLS_CLIENT_CERT_DATA": "b"},
    **{
        f"tls is {switch!r}": {"TEMPORAL_TLS": switch}
        for switch in ("true", "1", "TRUE", "False", "0", "yes", "")
    },
}


def read(module: Any, **options: Any) -> Any:
    """A profile in plain values with what is made of it, or the kind and the gist of the error."""
    try:
        profile = module.ClientConfigProfile.load(**options)
    except (RuntimeError, TypeError) as error:
        return type(error).__name__, str(error).split(":")[0].replace('"', "'")
    try:
        connect = profile.to_client_connect_config()
    except OSError as error:
        return profile.to_dict(), type(error)
    tls = connect.pop("tls", None)
    return profile.to_dict(), connect, tls if isinstance(tls, bool | None) else vars(tls)


@pytest.mark.parametrize("case", PROFILES)
def test_a_profile_is_read_as_there(case: str) -> None:
    options = {"override_env_vars": {}, **PROFILES[case]}
    assert read(ours, **options) == read(theirs, **options)


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("profile", ["default", "other"])
def test_the_environment_overrides_a_profile_as_there(name: str, profile: str) -> None:
    options = {"config_source": FILE, "profile": profile, "override_env_vars": ENVIRONMENTS[name]}
    assert read(ours, **options) == read(theirs, **options)
    only = {"disable_file": True, "override_env_vars": ENVIRONMENTS[name]}
    assert read(ours, **only) == read(theirs, **only)


def test_the_file_is_found_as_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "named.toml"
    named.write_text("[profile.default]\naddress = 'named'")
    usual = tmp_path / "home" / ".config" / "temporalio" / "temporal.toml"
    usual.parent.mkdir(parents=True)
    usual.write_text("[profile.default]\naddress = 'usual'")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for environment in ({}, {"TEMPORAL_CONFIG_FILE": str(named)}, {"TEMPORAL_CONFIG_FILE": ""}):
        for disable_env in (False, True):
            options = {"override_env_vars": environment, "disable_env": disable_env}
            assert read(ours, **options) == read(theirs, **options)
    assert read(ours, override_env_vars={})[0] == {"address": "usual"}
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(named))
    assert read(ours) == read(theirs)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert read(ours, override_env_vars={}) == read(theirs, override_env_vars={})
    assert ours.ClientConfig.load().to_dict() == {"default": {"address": "named"}}
    assert ours.ClientConfig.load_client_connect_config() == {"target_host": "named"}


def test_certificates_are_read_where_they_are_needed(tmp_path: Path) -> None:
    for name in ("cert", "key"):
        (tmp_path / name).write_text(name)
    source = (
        f"[profile.default.tls]\nclient_cert_path = '{tmp_path}/cert'\nclient_key_path = '{tmp_path}/key'"
    )
    found = read(ours, config_source=source, override_env_vars={})
    assert found == read(theirs, config_source=source, override_env_vars={})
    assert (found[2]["client_cert"], found[2]["client_private_key"]) == (b"cert", b"key")


def test_profiles_are_the_same_after_they_were_plain_values() -> None:
    loaded = ours.ClientConfig.load(config_source=FILE)
    plain = loaded.to_dict()
    assert plain == theirs.ClientConfig.load(config_source=FILE).to_dict()
    assert ours.ClientConfig.from_dict(plain).to_dict() == plain
