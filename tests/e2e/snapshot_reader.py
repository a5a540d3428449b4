# SPDX-License-Identifier: MIT
"""Reads snapshot.bin without any of memattach's own code.

A decoder of protobuf in a hundred lines, driven by proto/profile.proto itself, so that the tests do
not share a reader with the program. Strict: an unknown field, a wrong wire type or a string that is
not UTF-8 is an error.
"""

import gzip
import os
import re
import struct
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SAMPLE_TYPES = [("alloc_objects", "count"), ("alloc_space", "bytes"), ("peak_objects", "count"),
                ("peak_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")]
ALLOC_OBJECTS, ALLOC_SPACE, PEAK_OBJECTS, PEAK_SPACE, INUSE_OBJECTS, INUSE_SPACE = range(6)

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
SCALARS = {"uint32", "uint64", "int32", "int64", "bool", "double", "float", "string", "bytes"}


class Malformed(Exception):
    pass


def parse_schema(text):
    """{message: {number: (name, type, repeated)}} and the set of enums."""
    text = re.sub(r"//[^\n]*", "", text)
    messages, enums, stack = {}, set(), []
    for token in re.finditer(
            r"message\s+(?P<message>\w+)\s*\{|enum\s+(?P<enum>\w+)\s*\{|oneof\s+\w+\s*(?P<oneof>\{)"
            r"|(?P<repeated>repeated\s+)?(?P<type>\w+)\s+(?P<name>\w+)\s*=\s*(?P<number>\d+)\s*;"
            r"|\w+\s*=\s*\d+\s*;|(?P<end>\})", text):
        if token["message"]:
            stack.append(token["message"])
            messages[token["message"]] = {}
        elif token["enum"]:
            stack.append(None)
            enums.add(token["enum"])
        elif token["oneof"]:
            stack.append(stack[-1])
        elif token["end"]:
            stack.pop()
        elif token["name"] and stack[-1]:
            messages[stack[-1]][int(token["number"])] = (token["name"], token["type"],
                                                         bool(token["repeated"]))
    return messages, enums


def read_varint(data, position):
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise Malformed("a number is cut short or too long at offset %d" % position)
        byte = data[position]
        position += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, position


class Decoder:
    def __init__(self, schema_path):
        with open(schema_path, encoding="utf-8") as file:
            self.messages, self.enums = parse_schema(file.read())

    def empty(self, message):
        fields = {}
        for name, kind, repeated in self.messages[message].values():
            fields[name] = [] if repeated else self.default(kind)
        return fields

    def default(self, kind):
        if kind in self.messages:
            return None
        return {"string": "", "bytes": b"", "double": 0.0, "float": 0.0, "bool": False}.get(kind, 0)

    def scalar(self, kind, wire, raw):
        if kind == "double" and wire == FIXED64:
            return struct.unpack("<d", raw)[0]
        if kind == "float" and wire == FIXED32:
            return struct.unpack("<f", raw)[0]
        if wire != VARINT:
            raise Malformed("wire type %d for a %s" % (wire, kind))
        if kind == "bool":
            return bool(raw)
        if kind in ("int32", "int64"):
            return raw - (1 << 64) if raw >> 63 else raw
        return raw

    def packed(self, kind, raw):
        values, position = [], 0
        while position < len(raw):
            if kind == "double":
                values.append(struct.unpack_from("<d", raw, position)[0])
                position += 8
            elif kind == "float":
                values.append(struct.unpack_from("<f", raw, position)[0])
                position += 4
            else:
                value, position = read_varint(raw, position)
                values.append(self.scalar(kind, VARINT, value))
        return values

    def decode(self, message, data):
        fields = self.empty(message)
        position = 0
        while position < len(data):
            key, position = read_varint(data, position)
            number, wire = key >> 3, key & 7
            if number not in self.messages[message]:
                raise Malformed("%s has no field %d" % (message, number))
            name, kind, repeated = self.messages[message][number]
            if wire == VARINT:
                raw, position = read_varint(data, position)
            elif wire in (FIXED64, FIXED32):
                size = 8 if wire == FIXED64 else 4
                raw, position = data[position:position + size], position + size
            elif wire == LENGTH:
                size, position = read_varint(data, position)
                raw, position = data[position:position + size], position + size
                if len(raw) != size:
                    raise Malformed("%s.%s is cut short" % (message, name))
            else:
                raise Malformed("wire type %d in %s" % (wire, message))
            self.store(fields, name, kind, repeated, wire, raw)
        return fields

    def store(self, fields, name, kind, repeated, wire, raw):
        if kind in self.messages:
            value = self.decode(kind, raw)
        elif kind == "string":
            value = raw.decode("utf-8")
        elif kind == "bytes":
            value = raw
        elif wire == LENGTH:
            fields[name] += self.packed(kind, raw)
            return
        else:
            value = self.scalar(kind, wire, raw)
        if repeated:
            fields[name].append(value)
        else:
            fields[name] = value


class Site:
    """One sample: its frames, innermost first, its six values, its labels and its detail.

    A frame is (function, file, line); `frames` are Python's where there are any, `all_frames` are
    (function, file, line, path of the module) with the native ones, whose module is not None.
    """

    def __init__(self, all_frames, values, labels, detail):
        self.all_frames = all_frames
        self.frames = [frame[:3] for frame in all_frames if frame[3] is None] or \
            [frame[:3] for frame in all_frames]
        self.values = values
        self.labels = labels
        self.detail = detail

    @property
    def line(self):
        """(file name without its folder, line) of the innermost Python frame."""
        if not self.frames:
            return ("", 0)
        _, file, line = self.frames[0]
        return (os.path.basename(file), line)


class Snapshot:
    def __init__(self, data):
        self.raw = data
        decoder = Decoder(os.path.join(ROOT, "proto", "profile.proto"))
        plain = gzip.decompress(data)
        self.profile = decoder.decode("Profile", plain)
        self.heap = self.profile["heap"]
        self.strings = self.profile["string_table"]
        self.check()
        details = self.heap["site"] if self.heap else [None] * len(self.profile["sample"])
        self.sites = [self.site(sample, detail)
                      for sample, detail in zip(self.profile["sample"], details)]

    def site(self, sample, detail):
        frames = []
        for number in sample["location_id"]:
            location = self.profile["location"][number - 1]
            for line in location["line"]:
                function = self.profile["function"][line["function_id"] - 1]
                module = None
                if function["system_name"]:
                    mapping = location["mapping_id"]
                    module = self.strings[self.profile["mapping"][mapping - 1]["filename"]] \
                        if mapping else ""
                frames.append((self.strings[function["name"]],
                               self.strings[function["filename"]], line["line"], module))
        labels = {self.strings[label["key"]]: self.strings[label["str"]] or label["num"]
                  for label in sample["label"]}
        return Site(frames, sample["value"], labels, detail)

    def check(self):
        """The invariants that proto/profile.proto states."""
        profile = self.profile
        types = [(self.strings[kind["type"]], self.strings[kind["unit"]])
                 for kind in profile["sample_type"]]
        assert types == SAMPLE_TYPES, types
        assert self.strings[0] == ""
        assert self.strings[profile["default_sample_type"]] == "inuse_space"
        period = profile["period_type"]
        assert (self.strings[period["type"]], self.strings[period["unit"]]) == ("space", "bytes")
        for table in ("mapping", "location", "function"):
            ids = [entry["id"] for entry in profile[table]]
            assert ids == list(range(1, len(ids) + 1)), "%s ids are not dense" % table
        for sample in profile["sample"]:
            assert len(sample["value"]) == len(SAMPLE_TYPES)
            assert all(value >= 0 for value in sample["value"])
        if self.heap:
            assert self.heap["schema"] == 1
            assert self.heap["sample_count"] == len(profile["sample"])
            assert len(self.heap["site"]) == len(profile["sample"])
            assert self.heap["sample_crc32"] == self.crc()

    def crc(self):
        crc = 0
        for sample in self.profile["sample"]:
            numbers = sample["location_id"] + sample["value"]
            crc = zlib.crc32(b"".join(struct.pack("<Q", number % (1 << 64)) for number in numbers),
                             crc)
        return crc

    def by_line(self, value):
        """{(file, line): sum of that value over the sites whose innermost frame is there}"""
        sums = {}
        for site in self.sites:
            sums[site.line] = sums.get(site.line, 0) + site.values[value]
        return sums

    def variance_by_line(self, field):
        sums = {}
        for site in self.sites:
            sums[site.line] = sums.get(site.line, 0.0) + site.detail[field]
        return sums

    def total(self, value):
        return sum(site.values[value] for site in self.sites)

    @property
    def end(self):
        return self.heap["process"]["end"]

    @property
    def losses(self):
        return {name: count for name, count in self.heap["loss"].items() if count}
