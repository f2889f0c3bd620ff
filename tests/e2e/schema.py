# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""NDJSON against the published JSON Schema (docs/schema). `strict` allows no key that the schema does not name."""

import json
import os

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "schema", "ndjson.schema.json")


def missing():
    """Why it cannot be checked, or None."""
    if not os.path.exists(PATH):
        return f"{PATH} is not there"
    try:
        import jsonschema

        jsonschema.Draft202012Validator  # from 4.0 on
    except (ImportError, AttributeError) as error:
        return f"python3-jsonschema 4 or newer is needed: {error}"
    return None


def load(strict=False):
    with open(PATH, encoding="utf-8") as file:
        schema = json.load(file)
    return closed(schema) if strict else schema


def closed(schema):
    """The same schema, in which objects have no other keys than those that are named."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: closed(value) for key, value in schema.items()}
    if out.get("type") == "object" and "properties" in out and "additionalProperties" not in out:
        out["additionalProperties"] = False
    return out


class Checker:
    def __init__(self, strict=False):
        import jsonschema

        self._schema = load(strict)
        self._by_type = {
            name: jsonschema.Draft202012Validator({"$schema": self._schema["$schema"], "$ref": f"#/$defs/{name}", "$defs": self._schema["$defs"]})
            for name in (entry["$ref"].rpartition("/")[2] for entry in self._schema["oneOf"])
        }
        self._any = jsonschema.Draft202012Validator(self._schema)

    def errors(self, record):
        """What is wrong with it, as texts. By its own type, whose messages say more than those of a choice."""
        one = self._by_type.get(record.get("type"))
        if not one:
            return [f"no such type: {record}"]
        return [f"{record['type']}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in one.iter_errors(record)]

    def is_valid(self, record):
        """As who only has the file would ask."""
        return self._any.is_valid(record)
