"""SigV4 as the receiving side sees it: what a request claims, and whether the secret bears it out."""

import calendar
import hashlib
import hmac
import re
import time
from dataclasses import dataclass, field

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from werkzeug.wrappers import Request

from roled.demo import answers

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 "
    r"Credential=(?P<key>[^/\s]+)/(?P<day>\d{8})/(?P<region>[^/\s]+)/(?P<service>[^/\s]+)/aws4_request,"
    r"\s*SignedHeaders=(?P<headers>[a-z0-9;_-]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)
ALWAYS_SIGNED = {"host", "x-amz-date"}
PLAIN_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Claim:
    """Who a request says has signed it, when, and for what."""

    access_key_id: str
    session_token: str | None = field(repr=False)
    region: str
    service: str
    timestamp: str
    headers: tuple[str, ...]
    signature: str

    @property
    def signed_at(self) -> float:
        return calendar.timegm(time.strptime(self.timestamp, "%Y%m%dT%H%M%SZ"))


def service_of(request: Request) -> str:
    """The service that a request is meant for; S3 is the only one that people reach unsigned."""
    found = AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
    if found:
        return found["service"]
    return "sts" if request.method == "POST" and request.path == "/" else "s3"


def claimed(request: Request) -> tuple[str, str]:
    """The access key id and the region that a request names, unproven; empty where it names none."""
    found = AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
    return (found["key"], found["region"]) if found else ("", "")


def read(request: Request) -> Claim:
    """The claim in the request's headers, or Refusal."""
    header = request.headers.get("Authorization")
    if not header:
        raise answers.unsigned(service_of(request))
    found = AUTHORIZATION.fullmatch(header)
    timestamp = request.headers.get("X-Amz-Date", "")
    if not found or not re.fullmatch(r"\d{8}T\d{6}Z", timestamp):
        raise answers.Refusal(
            "IncompleteSignature", "The request signature does not conform to AWS standards.", 400
        )
    token = request.headers.get("X-Amz-Security-Token")
    claim = Claim(
        access_key_id=found["key"],
        session_token=token,
        region=found["region"],
        service=found["service"],
        timestamp=timestamp,
        headers=tuple(found["headers"].split(";")),
        signature=found["signature"],
    )
    if not timestamp.startswith(found["day"]) or not ALWAYS_SIGNED.issubset(claim.headers):
        raise answers.wrong_signature()
    return claim


def check(request: Request, claim: Claim, secret: str) -> None:
    """Compute the signature anew, as botocore does when it signs; Refusal if it comes out differently."""
    digest = request.headers.get("X-Amz-Content-SHA256", "")
    body = request.get_data()
    if PLAIN_DIGEST.fullmatch(digest) and digest != hashlib.sha256(body).hexdigest():
        raise answers.wrong_body()
    signer = (S3SigV4Auth if claim.service == "s3" else SigV4Auth)(
        Credentials(claim.access_key_id, secret), claim.service, claim.region
    )
    signed = AWSRequest(
        method=request.method,
        url=f"http://{request.host}{request.environ['RAW_URI']}",
        headers={name: ",".join(request.headers.getlist(name)) for name in claim.headers},
        data=body,
    )
    signed.context["timestamp"] = claim.timestamp
    expected = signer.signature(signer.string_to_sign(signed, signer.canonical_request(signed)), signed)
    if not hmac.compare_digest(expected, claim.signature):
        raise answers.wrong_signature()
