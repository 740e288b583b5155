"""Traces of requests: the columns that public traces have, and what is refused."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.scenario.trace_file import read_trace

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:04.0319600,110,27
"""

BURSTGPT = """\
Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
5,a,1.5,ChatGPT,472,18,490,Conversation log
45,,2,GPT-4,1087,230,1317,API log
118,b,0.1,GPT-4,417,276,693,Conversation log
"""


MOONCAKE = """\
{"timestamp": 0, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}
{"timestamp": 3000, "input_length": 6472, "output_length": 26, "hash_ids": []}

{"timestamp": 3000.5, "input_length": 12, "output_length": 1}
"""


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_columns_of_the_azure_trace(tmp_path):
    trace = read_trace(write(tmp_path, "azure.csv", AZURE), 3)
    assert trace.times == [0, 52 * 10**9, 52 * 10**9]
    assert trace.prompts == [4808, 3180, 110]
    assert trace.answers == [10, 8, 27]


def test_dates_may_have_a_zone(tmp_path):
    """As in Azure's traces of 2024."""
    text = "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,9,3\n"
    text += "2024-05-10 01:00:01+01:00,9,3\n"
    assert read_trace(write(tmp_path, "a.csv", text), 2).times == [0, 990_070 * 10**6]


def test_columns_of_burstgpt(tmp_path):
    trace = read_trace(write(tmp_path, "burst.csv", BURSTGPT), 3)
    assert trace.times == [0, 40 * 10**12, 113 * 10**12]
    assert (trace.prompts, trace.answers) == ([472, 1087, 417], [18, 230, 276])
    assert read_trace(tmp_path / "burst.csv", 2, speed=1e6).times == [0, 40 * 10**6]


def test_objects_of_mooncake(tmp_path):
    """Milliseconds; keys of the first object are those of all."""
    trace = read_trace(write(tmp_path, "mooncake.jsonl", MOONCAKE), 3)
    assert trace.times == [0, 3 * 10**12, 3 * 10**12 + 5 * 10**8]
    assert (trace.prompts, trace.answers) == ([6955, 6472, 12], [52, 26, 1])
    reordered = write(tmp_path, "other.jsonl", '{"tokens":2,"time_s":1}\n{"time_s":2,"tokens":3}')
    assert read_trace(reordered, 2) == ([0, 10**12], [2, 3], None, None)


def test_parquet_is_read_like_csv(tmp_path):
    rows = {"TIMESTAMP": ["2023-11-16 18:17:03.5", "2023-11-16 18:17:04"], "ContextTokens": [7, 8]}
    table = pa.table({"user": ["x", "y"], **rows})
    stamps = table.set_column(1, "TIMESTAMP", pa.array(rows["TIMESTAMP"]).cast(pa.timestamp("us")))
    for name, content in (("text", table), ("stamps", stamps)):
        pq.write_table(content, tmp_path / f"{name}.parquet")
        trace = read_trace(tmp_path / f"{name}.parquet", 2)
        assert trace == ([0, 5 * 10**11], [7, 8], None, None)


def test_own_names(tmp_path):
    text = "time_ps,tokens,answer\n25000,30,1\n50000,12,2\n"
    assert read_trace(write(tmp_path, "a.csv", text), 1) == ([0], [30], [1], None)
    assert read_trace(tmp_path / "a.csv", 2) == ([0, 25_000], [30, 12], [1, 2], None)


@pytest.mark.parametrize("name", ["t.txt", "t.csv", "t.jsonl"])
def test_a_byte_order_mark_is_no_content(tmp_path, name):
    text = {"t.txt": "0 s\n1 s\n", "t.csv": "time_s\n0\n1\n", "t.jsonl": MOONCAKE}[name]
    assert read_trace(write(tmp_path, name, "\ufeff" + text), 2).times[0] == 0


def test_text(tmp_path):
    path = write(tmp_path, "a.txt", "# beam\n0 ns\n12.5 us   # second\n\n12.5 us\n1 ms\n")
    assert read_trace(path, 3) == ([0, 12_500_000, 12_500_000], None, None, None)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "0 ns\n", "a.txt: must have 2 times, one a request; got 1"),
        (
            "a.txt",
            "5 ns\n4 ns\n",
            "line 2 must be a time from 0 to 4611686018427387904 ps (53 days), n",
        ),
        ("a.txt", "-1 ns\n2 ns\n", "line 1 must be a time from 0"),
        ("a.txt", "0.5 fs\n2 ns\n", "line 1 must be whole ps; got '0.5 fs'"),
        ("a.txt", "5\n6\n", "line 1 must have unit"),
        ("a.txt", "soon\n6 ns\n", "line 1 must be a number and a unit; got 'soon'"),
        ("a.csv", "", "must have a column TIMESTAMP or Timestamp or timestamp or time_s or t"),
        ("a.csv", "when,tokens\n1,2\n", "or time_ps; got when, tokens"),
        ("a.csv", "time_s,tokens\n1,2\n", "must have 2 times, one a request; got 1"),
        ("a.csv", "time_s\n-1\n2\n", "line 2: time_s must be from 0 on; got '-1'"),
        ("a.csv", "time_s\n3\n\n2\n", "line 4: time_s must be a time from 0 to"),
        ("a.csv", "time_s\nsoon\n2\n", "line 2: time_s must be a number or a date and time; got"),
        (
            "a.csv",
            "time_s,tokens\n1,2\n2,0\n",
            "line 3: tokens must be an integer from 1 to 1048576",
        ),
        (
            "a.csv",
            "time_s,tokens\n1,2\n2\n",
            "line 3: tokens must be an integer from 1 to 1048576; g",
        ),
        ("a.csv", "time_s\n1\nnan\n", "line 3: time_s must be a number or a date and time"),
        ("a.jsonl", "", "must have a column TIMESTAMP or"),
        ("a.jsonl", "[0, 1]\n", "line 1 must be a JSON object; got '[0, 1]'"),
        ("a.jsonl", '{"timestamp": 0}\n{"timestamp"', "line 2 must be a JSON object; got"),
        ("a.jsonl", '{"timestamp": 0}\n{"x": 1}', "line 2: timestamp must be a number or a date"),
        ("a.jsonl", '{"timestamp": 0}\n{"timestamp": true}', "line 2: timestamp must be a number"),
        ("a.parquet", "x", "a.parquet: not a Parquet file"),
    ],
)
def test_bad_traces_are_refused(tmp_path, name, text, message):
    with pytest.raises(InputError) as error:
        read_trace(write(tmp_path, name, text), 2)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", ["txt", "csv", "jsonl", "parquet"])
def test_a_missing_trace(tmp_path, suffix):
    with pytest.raises(InputError, match=rf"none\.{suffix}: No such file or directory"):
        read_trace(tmp_path / f"none.{suffix}", 2)


@pytest.mark.parametrize("suffix", ["txt", "csv", "jsonl"])
def test_no_text(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"\xff\xfe\x00time")
    with pytest.raises(InputError, match=rf"a\.{suffix}: not a text file"):
        read_trace(path, 2)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "time_s\n1\n", r"must have a column Model or model; got time_s"),
        (
            "t.csv",
            "time_s,model\n1,a\n2,b\n",
            r"must have 2 times, .* of model .a.; got 1",
        ),
        ("t.txt", "1 us\n", r"must be a .csv, .jsonl or .parquet file with a column of models"),
    ],
)
def test_rows_of_a_model_that_are_not_there(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_trace(tmp_path / name, 2, model="a")
