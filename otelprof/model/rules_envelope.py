"""Rules of the bytes, and of the messages around the samples."""

from collections.abc import Iterator

from otelprof.model.rules import WHOLE, Chapter, Found, Level
from otelprof.model.view import View
from otelprof.model.wire import Damage

__all__ = ("ENCODING", "ENVELOPE")

ENCODING = Chapter("Encoding", needs="bytes")
ENVELOPE = Chapter("Envelope", needs="message")


@ENCODING.rule("R1", Level.ERROR, "the bytes decode with the pinned layout, nothing unknown and nothing left over")
def decodes(view: View) -> Iterator[Found]:
    for finding in view.findings:
        if finding.damage is not Damage.NOT_UTF8:
            yield Found(finding.where or WHOLE, finding.message)


@ENCODING.rule("R7", Level.ERROR, "the message is not larger than the given limit, before compression")
def below_limit(view: View) -> Iterator[Found]:
    if view.max_bytes is not None and view.size_bytes > view.max_bytes:
        yield Found(WHOLE, f"{view.size_bytes} bytes are more than the {view.max_bytes} allowed")


@ENCODING.rule("R80", Level.ERROR, "every string is UTF-8")
def utf8(view: View) -> Iterator[Found]:
    for finding in view.findings:
        if finding.damage is Damage.NOT_UTF8:
            yield Found(finding.where, finding.message)


@ENVELOPE.rule("R2", Level.ERROR, "there is at least one ResourceProfiles")
def has_resources(view: View) -> Iterator[Found]:
    if not view.message.resource_profiles:
        yield Found(WHOLE, "there is no ResourceProfiles")


@ENVELOPE.rule("R3", Level.ERROR, "every ResourceProfiles has at least one ScopeProfiles")
def has_scopes(view: View) -> Iterator[Found]:
    for where, resource_profiles in view.resources():
        if not resource_profiles.scope_profiles:
            yield Found(where, "there is no ScopeProfiles in it")


@ENVELOPE.rule("R4", Level.ERROR, "every ScopeProfiles has at least one Profile")
def has_profiles(view: View) -> Iterator[Found]:
    for where, scope_profiles in view.scopes():
        if not scope_profiles.profiles:
            yield Found(where, "there is no Profile in it")


@ENVELOPE.rule("R5", Level.WARNING, "every Profile has at least one Sample")
def has_samples(view: View) -> Iterator[Found]:
    for profile in view.profiles:
        if not profile.samples:
            yield Found(profile.where, "there is no Sample in it")


@ENVELOPE.rule("R6", Level.ERROR, "there is a dictionary")
def has_dictionary(view: View) -> Iterator[Found]:
    if not view.message.HasField("dictionary"):
        yield Found(WHOLE, "there is no dictionary")


@ENVELOPE.rule("R8", Level.WARNING, "schema_url is set on resource and scope, and so are name and version of the scope")
def is_described(view: View) -> Iterator[Found]:
    for where, resource_profiles in view.resources():
        if not resource_profiles.schema_url:
            yield Found(where, "schema_url is not set")
    for where, scope_profiles in view.scopes():
        if not scope_profiles.schema_url:
            yield Found(where, "schema_url is not set")
        if not scope_profiles.scope.name or not scope_profiles.scope.version:
            yield Found(where, "the scope lacks a name or a version")
