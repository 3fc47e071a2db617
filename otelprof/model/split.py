"""Cutting a message into several that a receiver is willing to take.

A message is halved, and its halves again, until each is small enough: between processes while there are
several, then between profiles, samples, and at last between the events of one sample. Each part carries the
rows of the dictionary that it needs and no others. The same message is always cut into the same parts.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from google.protobuf.message import Message
from opentelemetry.proto.profiles.v1development.profiles_pb2 import ValueType

from otelprof.model.copier import DictionaryCopier
from otelprof.model.layout import Profile, ProfilesData, ProfilesDictionary, ResourceProfiles, Sample
from otelprof.model.reader import parse_profiles
from otelprof.model.tables import DictionaryTables
from otelprof.model.values import inline_key_values, text_at

__all__ = ("Part", "split")


@dataclass(frozen=True, slots=True)
class Part:
    """A serialised ``ProfilesData`` and the number of samples in it.

    Samples are counted as ``ReadSample.count`` does: what values of unit ``count`` add up to, else timestamps.
    """

    payload: bytes
    sample_count: int


def split(payload: bytes, max_bytes: int) -> list[Part]:
    """Cut a serialised ``ProfilesData`` into parts of at most ``max_bytes``, in order; at least one.

    A part that holds a single event is not cut further and may be larger. Profiles keep their id, save
    those that are cut themselves: each of their pieces gets an id derived from it, so that a receiver which
    drops doubles by id drops neither. Raises BadProfile.
    """
    parts = []
    todo = [parse_profiles(payload)]
    while todo:
        message = todo.pop()
        encoded = message.SerializeToString()
        halves = _halve(message.resource_profiles) if len(encoded) > max_bytes else None
        if halves is None:
            parts.append(Part(encoded, _count(message)))
        else:
            todo += (_with_own_dictionary(half, message.dictionary) for half in reversed(halves))
    return parts


def _count(data: ProfilesData) -> int:
    strings = data.dictionary.string_table
    count = 0
    for _, profile in _profiles(data.resource_profiles):
        counts = text_at(strings, profile.sample_type.unit_strindex) == "count"
        for sample in profile.samples:
            if counts and sample.values:
                count += sum(sample.values)
            else:
                count += len(sample.timestamps_unix_nano) or len(sample.values)
    return count


def _profiles(resources: Iterable[ResourceProfiles]) -> list[tuple[int, Profile]]:
    """Every profile with the index of its scope within the resource."""
    return [
        (index, profile)
        for resource in resources
        for index, scope in enumerate(resource.scope_profiles)
        for profile in scope.profiles
    ]


# Halving: indices still refer to the dictionary of the whole.


def _halve(resources: Sequence[ResourceProfiles]) -> list[list[ResourceProfiles]] | None:
    """Cut in two at the highest level that allows it; None when all is one event."""
    if len(resources) > 1:
        cut = _middle(resources)
        return [list(resources[:cut]), list(resources[cut:])]
    profiles = _profiles(resources)
    if len(profiles) > 1:
        cut = _middle([profile for _, profile in profiles])
        halves = [profiles[:cut], profiles[cut:]]
    else:
        halves = [[(scope, piece)] for scope, profile in profiles for piece in _halve_profile(profile)]
    return [[_with_profiles(resources[0], half)] for half in halves] or None


def _middle(messages: Sequence[Message]) -> int:
    """Where a cut leaves about the same size on both sides; neither is empty."""
    sums = list(accumulate(message.ByteSize() for message in messages))
    return min(range(1, len(sums)), key=lambda cut: abs(2 * sums[cut - 1] - sums[-1]))


def _with_profiles(resource: ResourceProfiles, profiles: Sequence[tuple[int, Profile]]) -> ResourceProfiles:
    """Copy a resource with some of its profiles, and without the scopes that have none."""
    copy = ResourceProfiles()
    copy.CopyFrom(resource)
    del copy.scope_profiles[:]
    for index, scope in enumerate(resource.scope_profiles):
        kept = [profile for owner, profile in profiles if owner == index]
        if kept:
            scope_copy = copy.scope_profiles.add()
            scope_copy.CopyFrom(scope)
            del scope_copy.profiles[:]
            scope_copy.profiles.extend(kept)
    return copy


def _halve_profile(profile: Profile) -> tuple[Profile, ...]:
    """Cut between samples, or else between the events of the only one; () when there is but one event."""
    first, second = Profile(), Profile()
    for number, half in enumerate((first, second)):
        half.CopyFrom(profile)
        if profile.profile_id:
            half.profile_id = hashlib.blake2b(profile.profile_id, digest_size=16, salt=bytes([number])).digest()
    if len(profile.samples) > 1:
        cut = _middle(profile.samples)
        del first.samples[cut:]
        del second.samples[:cut]
        return first, second
    if not profile.samples or len(profile.samples[0].timestamps_unix_nano) < 2:
        return ()
    cut = len(profile.samples[0].timestamps_unix_nano) // 2
    _keep_events(first.samples[0], slice(cut, None))
    _keep_events(second.samples[0], slice(None, cut))
    return first, second


def _keep_events(sample: Sample, without: slice) -> None:
    del sample.timestamps_unix_nano[without]
    del sample.values[without]


# Each half gets its own dictionary.


def _with_own_dictionary(resources: Sequence[ResourceProfiles], dictionary: ProfilesDictionary) -> ProfilesData:
    data = ProfilesData()
    data.resource_profiles.extend(resources)
    copier = DictionaryCopier(dictionary, DictionaryTables(data.dictionary))
    for resource in data.resource_profiles:
        inline_key_values(resource.resource.attributes, copier.texts)
        for scope in resource.scope_profiles:
            inline_key_values(scope.scope.attributes, copier.texts)
            for profile in scope.profiles:
                _refer_to_copies(profile, copier)
    return data


def _refer_to_copies(profile: Profile, copier: DictionaryCopier) -> None:
    _move_value_type(profile.sample_type, copier)
    if profile.HasField("period_type"):
        _move_value_type(profile.period_type, copier)
    profile.attribute_indices[:] = copier.attributes(profile.attribute_indices)
    stacks, attributes, links = copier.stacks, copier.attributes, copier.links
    for sample in profile.samples:
        sample.stack_index = stacks[sample.stack_index]
        sample.attribute_indices[:] = attributes(sample.attribute_indices)
        sample.link_index = links[sample.link_index]


def _move_value_type(value_type: ValueType, copier: DictionaryCopier) -> None:
    value_type.type_strindex = copier.strings[value_type.type_strindex]
    value_type.unit_strindex = copier.strings[value_type.unit_strindex]
