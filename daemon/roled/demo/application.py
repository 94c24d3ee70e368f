"""One AWS behind one port: checks who is asking, then hands STS to our own rules and S3 and IAM to moto.

Tests steer it under /_standin, unsigned:

    GET    /_standin/calls     every STS call so far, oldest first, as a JSON list of `Call`
    DELETE /_standin/calls     forget them
    GET    /_standin/faults    the faults still to come, as a JSON list of `faults.Fault`
    POST   /_standin/faults    order faults: one object or a list; `faults.KINDS` says what there is
    DELETE /_standin/faults    none any more
"""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Request, Response

from roled.demo import answers, faults, signature
from roled.demo.answers import Refusal, Tree
from roled.demo.faults import Faults
from roled.demo.moto_aws import MotoAws
from roled.demo.tokens import Caller, Tokens

TOLERANCE = 5 * 60.0  # seconds that a client's clock may be off
S3_TOLERANCE = 15 * 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call to STS, as the client put it; "" for what it left out.

    `at` is epoch seconds by this AWS's clock. `outcome` is "ok", the code of an error, or the kind of the
    fault that stood in an answer's place; only "ok" says that `signer`, an ARN, is proven.
    """

    at: float
    action: str
    access_key_id: str
    signer: str
    region: str
    role_arn: str
    session_name: str
    duration_seconds: str
    outcome: str


class Application:
    """The WSGI application. `clock` is read once for each request; `close` ends the answers that hang."""

    def __init__(self, aws: MotoAws, tokens: Tokens, clock: Callable[[], float]) -> None:
        self.faults = Faults()
        self.calls: list[Call] = []
        self._aws = aws
        self._tokens = tokens
        self._clock = clock
        self._closing = threading.Event()

    def close(self) -> None:
        self._closing.set()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        if request.path.startswith("/_standin/"):
            response = self._steer(request)
        else:
            now = self._clock() + self.faults.take(("clock",)).get("clock", 0)
            response = self._answer(request, now)
            # Clients judge their own clock by this header.
            response.headers["Date"] = formatdate(now, usegmt=True)
        return response(environ, start_response)

    def _answer(self, request: Request, now: float) -> Response:
        service = signature.service_of(request)
        if service == "sts":
            return self._answer_sts(request, now)
        if service not in ("s3", "iam"):
            return answers.refused(Refusal("NotImplemented", f"the stand-in has no {service}", 501), service)
        try:
            self._authenticate(request, now)
        except Refusal as refusal:
            return answers.refused(refusal, service)
        return self._aws.answer(request)

    def _answer_sts(self, request: Request, now: float) -> Response:
        parameters = dict(parse_qsl(request.get_data(as_text=True), keep_blank_values=True))
        action, role = parameters.get("Action", ""), parameters.get("RoleArn", "").rsplit("/", 1)[-1]
        struck = self.faults.take(faults.KINDS.keys() - {"clock"}, action, role)
        self._closing.wait(struck.get("delay", 0))
        if fault := next((kind for kind in struck if kind in faults.INSTEAD), None):
            self._record(request, parameters, fault, now)
            return self._strike(fault, struck[fault], request)
        try:
            result = self._tokens.perform(
                parameters, self._authenticate(request, now), now, struck.get("lifetime")
            )
            response, outcome = answers.result(action, _replaced(result, struck.get("answer", {}))), "ok"
        except Refusal as refusal:
            response, outcome = answers.refused(refusal, "sts"), refusal.code
        self._record(request, parameters, outcome, now)
        return response

    def _strike(self, kind: str, value: Any, request: Request) -> Response:
        """What stands in the place of the true answer."""
        match kind:
            case "error":
                return answers.refused(Refusal(value, "ordered by a test", 400), "sts")
            case "status":
                return Response(status=value)
            case "garbage":
                return Response("\x00 no XML at all <", 200, mimetype="text/xml")
            case "drop":
                request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            case _:
                self._closing.wait()
        return Response(status=503)

    def _authenticate(self, request: Request, now: float) -> Caller:
        """Who has really signed this request, or Refusal."""
        claim = signature.read(request)
        caller = self._tokens.caller(claim.access_key_id)
        if caller is None:
            raise answers.unknown_key(claim.service)
        if claim.session_token != caller.session_token:
            raise answers.wrong_token(claim.service)
        tolerance = S3_TOLERANCE if claim.service == "s3" else TOLERANCE
        if abs(claim.signed_at - now) > tolerance:
            raise answers.wrong_time(claim.service, claim.signed_at, now, tolerance)
        signature.check(request, claim, caller.secret)
        if caller.expires_at <= now:
            raise answers.expired_token(claim.service)
        return caller

    def _record(self, request: Request, parameters: Mapping[str, str], outcome: str, now: float) -> None:
        access_key_id, region = signature.claimed(request)
        caller = self._tokens.caller(access_key_id)
        self.calls.append(
            Call(
                at=now,
                action=parameters.get("Action", ""),
                access_key_id=access_key_id,
                signer=caller.arn if caller else "",
                region=region,
                role_arn=parameters.get("RoleArn", ""),
                session_name=parameters.get("RoleSessionName", ""),
                duration_seconds=parameters.get("DurationSeconds", ""),
                outcome=outcome,
            )
        )

    def _steer(self, request: Request) -> Response:
        match request.method, request.path:
            case "GET", "/_standin/calls":
                return _json([asdict(call) for call in self.calls])
            case "DELETE", "/_standin/calls":
                self.calls.clear()
            case "GET", "/_standin/faults":
                pass
            case "POST", "/_standin/faults":
                try:
                    self.faults.add(*faults.from_json(request.get_json(force=True)))
                except (TypeError, ValueError, BadRequest) as error:
                    return Response(f"{error}\n", 400)
            case "DELETE", "/_standin/faults":
                self.faults.clear()
            case _:
                return Response("no such thing to steer\n", 404)
        return _json(self.faults.pending())


def _replaced(tree: Tree, texts: Mapping[str, str]) -> Tree:
    """The tree with some of its leaves saying something else."""
    return {
        name: _replaced(value, texts) if isinstance(value, Mapping) else texts.get(name, value)
        for name, value in tree.items()
    }


def _json(value: Any) -> Response:
    return Response(json.dumps(value) + "\n", mimetype="application/json")
