"""Settings that do not fit stop the start, with file, key, value and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from overwinter.edge.settings import SettingsError, load, render_reference

ROOT = Path(__file__).parents[3]
LEAST = '[gateway]\nstate_dir = "state"\n'
TRIGGER = LEAST + "[[trigger]]\ntopic = 'a'\nid = 'x'\nworkflow = 'W'\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "gateway.toml"
    file.write_text(text)
    return file


def problems(folder: Path, text: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refused:
        load(written(folder, text), overrides)
    assert str(folder / "gateway.toml") in str(refused.value)
    return refused.value.problems


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    settings = load(written(tmp_path, LEAST))
    assert settings.gateway.state_dir == tmp_path / "state"
    assert settings.mqtt.broker == "embedded"
    assert settings.engine.activities_max == 100
    assert settings.page.host == "127.0.0.1"


def test_durations_are_texts_or_seconds(tmp_path: Path) -> None:
    settings = load(written(tmp_path, LEAST + '[mqtt]\nkeepalive = "2 min"\nsession_expiry = 90\n'))
    assert (settings.mqtt.keepalive, settings.mqtt.session_expiry) == (120.0, 90.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[gateway]\nname = 'x'\n", ["gateway.state_dir is missing"]),
        (LEAST + "[engine]\nactivities_max = 0\n", ["engine.activities_max is 0", "from 1 to 10000"]),
        (LEAST + "[engine]\nactivities_max = true\n", ["engine.activities_max is true", "a whole number"]),
        (LEAST + "[engine]\nactivities_mx = 5\n", ["engine.activities_mx is unknown", "activities_max"]),
        (LEAST + "[enginee]\n", ["enginee is unknown", "did you mean engine?"]),
        (LEAST + '[mqtt]\nkeepalive = "soon"\n', ['mqtt.keepalive is "soon"', "a duration"]),
        (LEAST + '[mqtt]\nbroker = "http://x"\n', ['mqtt.broker is "http://x"', "mqtts://host:port"]),
        (LEAST + '[mqtt]\nbroker = "mqtt://user:pw@host"\n', ["mqtt.broker"]),
        (
            LEAST + '[mqtt]\nbroker = "mqtts://h"\nca_file = "none.pem"\n',
            ["mqtt.ca_file", "a file that exists"],
        ),
        (LEAST + '[page]\nhost = "0.0.0.0"\n', ['page.host is "0.0.0.0"', "token_file"]),
        (LEAST + '[gpu]\ndevice = "fast"\n', ['gpu.device is "fast"', '"require"']),
        (LEAST + "page = 3\n", ["gateway.page is unknown"]),
        (LEAST + "[devices]\nanswers = ['farm/+/answer']\n", ["devices.answers", "wildcard"]),
        (LEAST + "[[trigger]]\ntopic = 'a/b'\n", ["trigger 1: id is missing"]),
        (LEAST + "[[trigger]]\ntopic = 'a/b'\nid = 'x'\n", ["trigger 1: workflow is missing"]),
        (LEAST + "[[trigger]]\ntopic = 'a/#'\nid = 'x'\nworkflow = 'W'\n", ["trigger 1: topic", "wildcard"]),
        (
            LEAST + "[[trigger]]\ntopic = 'a/{b}'\nid = '{c}'\nworkflow = 'W'\n",
            ["trigger 1: id has {c}", "b"],
        ),
        (TRIGGER + "concurrency = 'x'\n", ["concurrency", "a table such as"]),
        (TRIGGER + "concurrency = { limit = 1 }\n", ["trigger 1: concurrency.key"]),
        (TRIGGER + "concurrency = { key = '{c}' }\n", ["concurrency.key has {c}"]),
        (TRIGGER + "concurrency = { key = 'x', limit = 0 }\n", ["concurrency.limit", "1"]),
        (TRIGGER + "concurrency = { key = 'x', policy = 'hope' }\n", ["concurrency.policy", "replace"]),
        (
            TRIGGER + "action = 'signal'\nsignal = 's'\nconcurrency = { key = 'x' }\n",
            ["concurrency", "starts nothing"],
        ),
        (
            LEAST + "[[trigger]]\ntopic = 'a'\nid = 'x'\nworkflow = 'W'\nwhere = { m = { under = 1 } }\n",
            ["where.m.under", "below"],
        ),
        (
            LEAST + "[[trigger]]\ntopic = 'a'\nid = 'x'\nworkflow = 'W'\nwhere = { m = { below = 'x' } }\n",
            ["a number"],
        ),
    ],
)
def test_a_setting_that_does_not_fit_is_named_with_what_is_allowed(
    text: str, words: list[str], tmp_path: Path
) -> None:
    (problem,) = problems(tmp_path, text)
    for word in words:
        assert word in problem


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, "[engine]\nactivities_max = 0\n[page]\nport = 70000\n")) == 3


def test_what_is_no_toml_is_refused_with_line_and_column(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "[gateway]\nname = \n")
    assert "line 2, column" in problem


def test_a_file_that_is_not_there_says_how_to_give_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--settings FILE"):
        load(tmp_path / "none.toml")


def test_settings_on_the_command_line_come_before_those_of_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, LEAST + "[page]\nport = 1\n")
    settings = load(file, ["page.port=9000", "gateway.name=shed", "mqtt.broker=mqtt://10.0.0.1:1884"])
    assert (settings.page.port, settings.gateway.name) == (9000, "shed")
    assert settings.mqtt.address() == ("10.0.0.1", 1884)


@pytest.mark.parametrize("override", ["port=1", "page.port", "pages.port=1"])
def test_an_override_that_names_no_setting_is_refused(override: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, LEAST, override)
    assert "TABLE.KEY=VALUE" in problem


def test_the_password_never_shows(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    text = LEAST + '[mqtt]\nbroker = "mqtt://h"\nusername = "u"\npassword_file = "secret"\n'
    settings = load(written(tmp_path, text))
    session = settings.mqtt.session(*settings.mqtt.address(), default_client_id="c")
    assert session.password == "hunter2"
    assert "hunter2" not in repr(settings) + repr(session)


def test_the_reference_page_is_what_the_code_says() -> None:
    assert (ROOT / "docs/reference/settings.md").read_text() == render_reference(), "run `make docs`"


def test_the_farms_settings_fit() -> None:
    assert len(load(ROOT / "examples/farm/farm.toml").triggers) == 7


def test_how_large_a_value_is_that_becomes_a_file_is_within_bounds(tmp_path: Path) -> None:
    assert load(written(tmp_path, LEAST)).payloads.external_bytes_min is None
    settings = load(written(tmp_path, LEAST + "[payloads]\nexternal_bytes_min = 65536\n"))
    assert settings.payloads.external_bytes_min == 65536
    assert "from 1 to 2097152" in problems(tmp_path, LEAST + "[payloads]\nexternal_bytes_min = 0\n")[0]
