"""The demo's own `aws`: the story's few commands, asked of the stand-in with the config of HOME."""

import pytest

from roled.demo import aws_command
from roled.demo.standin import StandIn


def test_it_lists_what_the_role_may_see(
    aws: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "marketingadmin")
    assert aws_command.main(["s3", "ls"]) == 0
    assert aws_command.main(["s3", "ls", "s3://marketing-reports"]) == 0
    assert aws_command.main(["s3", "ls", "s3://marketing-reports/2026/"]) == 0
    assert aws_command.main(["sts", "get-caller-identity"]) == 0
    bucket, folder, *files, identity = capsys.readouterr().out.splitlines()
    assert (bucket, folder.split()) == ("marketing-reports", ["PRE", "2026/"])
    assert [line.split()[-2:] for line in files] == [["27", "q1.csv"], ["27", "q2.csv"]]
    assert ":assumed-role/marketingadminrole/" in identity


def test_it_fails_as_the_aws_cli_does(
    aws: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aws_command.main(["s3", "ls", "s3://marketing-reports"]) == 254
    assert "(AccessDenied)" in capsys.readouterr().err
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    assert aws_command.main(["s3", "ls"]) == 253
    assert "nowhere" in capsys.readouterr().err
    assert aws_command.main(["ec2", "describe-instances"]) == 252
    assert capsys.readouterr().err.startswith("usage: aws s3 ls")
