"""Holds JSON files to the image specification's schemas: oci_schema.py SCHEMAS (SCHEMA FILE)..."""

import json
import pathlib
import sys
from urllib.parse import urlsplit

import jsonschema

schemas = pathlib.Path(sys.argv[1])


def schema(uri):
    # References are relative to made-up addresses; the file's name is what counts.
    return json.loads((schemas / pathlib.PurePosixPath(urlsplit(uri).path).name).read_text())


for name, file in zip(sys.argv[2::2], sys.argv[3::2]):
    wanted = schema(name)
    resolver = jsonschema.RefResolver(name, wanted, handlers={"https": schema, "": schema})
    validator = jsonschema.Draft4Validator(wanted, resolver=resolver)
    for error in validator.iter_errors(json.loads(pathlib.Path(file).read_text())):
        sys.exit(f"{file}: {name}: {error.message} at {list(error.absolute_path)}")
