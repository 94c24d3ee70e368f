"""What AWS answers, in its own words and XML: results, and refusals, which clients tell apart by code."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"

Tree = Mapping[str, "str | Tree"]


class Refusal(Exception):
    """AWS says no: `code` is what SDKs look at, the text is what people read."""

    def __init__(self, code: str, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def invalid(message: str) -> Refusal:
    return Refusal("ValidationError", message, 400)


def constraint(value: str | None, name: str, text: str) -> Refusal:
    """A parameter that breaks the service's model, in the wording that all of AWS shares."""
    shown = "null" if value is None else f"'{value}'"
    return invalid(
        f"1 validation error detected: Value {shown} at '{name}' failed to satisfy constraint: Member {text}"
    )


def access_denied(caller: str, action: str, resource: str, tail: str = "") -> Refusal:
    text = f"User: {caller} is not authorized to perform: {action} on resource: {resource}{tail}"
    return Refusal("AccessDenied", text)


def unsigned(service: str) -> Refusal:
    if service == "s3":
        return Refusal("AccessDenied", "Access Denied")
    return Refusal("MissingAuthenticationToken", "Request is missing Authentication Token")


def unknown_key(service: str) -> Refusal:
    if service == "s3":
        return Refusal(
            "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
        )
    return Refusal("InvalidClientTokenId", "The security token included in the request is invalid.")


def wrong_token(service: str) -> Refusal:
    if service == "s3":
        return Refusal("InvalidToken", "The provided token is malformed or otherwise invalid.", 400)
    return unknown_key(service)


def expired_token(service: str) -> Refusal:
    if service == "s3":
        return Refusal("ExpiredToken", "The provided token has expired.", 400)
    return Refusal("ExpiredToken", "The security token included in the request is expired")


def wrong_signature() -> Refusal:
    text = "The request signature we calculated does not match the signature you provided."
    return Refusal("SignatureDoesNotMatch", f"{text} Check your AWS Secret Access Key and signing method.")


def wrong_body() -> Refusal:
    text = "The provided 'x-amz-content-sha256' header does not match what was computed."
    return Refusal("XAmzContentSHA256Mismatch", text, 400)


def wrong_time(service: str, signed_at: float, now: float, tolerance: float) -> Refusal:
    """A signature made by a clock that is more than `tolerance` seconds off."""
    if service == "s3":
        text = "The difference between the request time and the current time is too large."
        return Refusal("RequestTimeTooSkewed", text)
    signed, at, minutes = compact(signed_at), compact(now), int(tolerance // 60)
    if signed_at < now:
        bound = f"is now earlier than {compact(now - tolerance)} ({at} - {minutes} min.)"
        return Refusal("SignatureDoesNotMatch", f"Signature expired: {signed} {bound}")
    bound = f"is still later than {compact(now + tolerance)} ({at} + {minutes} min.)"
    return Refusal("SignatureDoesNotMatch", f"Signature not yet current: {signed} {bound}")


def compact(at: float) -> str:
    """A time as SigV4 writes it: 20260102T030405Z."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")


def result(action: str, fields: Tree) -> Response:
    """The answer of an STS action."""
    body = {
        f"{action}Response": {f"{action}Result": fields, "ResponseMetadata": {"RequestId": str(uuid.uuid4())}}
    }
    return Response(
        _xml(body).replace("Response>", f'Response xmlns="{STS_NAMESPACE}">', 1), 200, mimetype="text/xml"
    )


def refused(refusal: Refusal, service: str) -> Response:
    """A refusal as `service` words it."""
    error = {"Code": refusal.code, "Message": str(refusal)}
    request = {"RequestId": str(uuid.uuid4())}
    if service == "s3":
        return Response(_xml({"Error": {**error, **request}}), refusal.status, mimetype="application/xml")
    sort = "Sender" if refusal.status < 500 else "Receiver"
    body = _xml({"ErrorResponse": {"Error": {"Type": sort, **error}, **request}})
    return Response(body, refusal.status, mimetype="text/xml")


def _xml(tree: Tree) -> str:
    return "".join(
        f"<{name}>{_xml(value) if isinstance(value, Mapping) else escape(value)}</{name}>"
        for name, value in tree.items()
    )
