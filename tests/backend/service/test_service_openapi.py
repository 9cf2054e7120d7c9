"""The OpenAPI document, and the running service held against it with requests that nobody thought of."""

import json
import re
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from underpaint.backend.service import app, models
from underpaint.backend.service.openapi import document
from underpaint.protocol.client import endpoint as endpoints

DOCUMENT = document("test")
ENDLESS = ("/v1/events", "/v1/shutdown")  # the one answers until either side hangs up, the other ends the service
OPERATIONS = [
    (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods if path not in ENDLESS
]


def test_the_document_speaks_of_every_route_and_of_no_other():
    source = "".join(Path(str(module.__file__)).read_text(encoding="utf-8") for module in (app, models))
    routes = {
        (method, path)
        for path, methods in re.findall(r'Route\("([^"]+)", routes\.\w+, methods=\[([^\]]+)\]', source)
        for method in re.findall(r"[A-Z]+", methods)
    }
    documented = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert documented == routes
    assert len(routes) > 10


def test_the_service_gives_its_document(connection):
    answer = json.loads(connection._call("GET", "/v1/openapi.json"))
    assert answer["paths"] == json.loads(json.dumps(DOCUMENT["paths"]))


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_service_keeps_to_its_document(shared, method, path, mode):
    endpoint, token = endpoints.read(shared.home)
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.config.update(base_url=f"http://{endpoint.host}:{endpoint.port}")
    operation = schema[path][method]
    # What a request must hold beyond its types isn't in the schema, and unknown query parameters are passed over.
    excluded = [positive_data_acceptance, *([negative_data_rejection] if method == "GET" else [])]
    statuses = []

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case):
        response = case.call_and_validate(
            headers={"Authorization": f"Bearer {token}"}, timeout=20, excluded_checks=excluded
        )
        statuses.append(response.status_code)

    holds()
    assert statuses
    assert max(statuses) < 500
