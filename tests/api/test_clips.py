"""The gallery for programs."""

from __future__ import annotations

import io
import json
import zipfile

import httpx

from tests.api.conftest import Connect, is_error, make

SECRET = "a-secret-of-the-gallery-test-0123456789"  # noqa: S105


def test_clips_are_found_named_collected_zipped_and_deleted_with_undo(
    connect: Connect, other: httpx.Client, anyone: httpx.Client
) -> None:
    me = connect(SECRET)
    made = [make(me, prompt=f"a lighthouse {n}", seed=n)["job_id"] for n in (1, 2, 3)]
    first = me.get("/api/clips?limit=2").json()
    assert [each["job_id"] for each in first["clips"]] == made[:0:-1]
    assert first["total"] == 3
    rest = me.get("/api/clips", params={"limit": 2, "cursor": first["next"]}).json()
    assert [each["job_id"] for each in rest["clips"]] == made[:1]
    assert (rest["next"], rest["total"]) == (None, None)

    named = me.patch(f"/api/clips/{made[0]}", json={"title": "Home", "starred": True}).json()
    assert (named["title"], named["starred"]) == ("Home", True)
    for query in ("search=home+seed:1", "starred=true", "sort=oldest&limit=1"):
        found = me.get(f"/api/clips?{query}").json()["clips"]
        assert [each["job_id"] for each in found] == made[:1], query

    body = {"name": "Lights", "ids": made[:2]}
    collection = me.post("/api/collections", json=body).json()
    assert me.get(f"/api/clips?collection={collection['id']}").json()["total"] == 2
    assert me.get("/api/collections").json()["collections"] == [collection]

    zipped = me.post("/api/clips/zip", json={"ids": made})
    with zipfile.ZipFile(io.BytesIO(zipped.content)) as archive:
        assert len(archive.namelist()) == 4
        assert json.loads(archive.read("clips.json"))[0]["title"] == "Home"

    storage = me.get("/api/clips/storage").json()
    assert storage["clips"] == 3
    assert (
        storage["bytes"]
        == sum(each["result"]["size_bytes"] for each in first["clips"])
        + (rest["clips"][0]["result"]["size_bytes"])
    )
    gone = me.post("/api/clips/delete", json={"ids": made[:2]}).json()
    assert set(gone["deleted"]) == set(made[:2])
    assert me.get("/api/jobs").json()["jobs"][0]["job_id"] == made[2]
    assert me.get("/api/clips").json()["total"] == 1
    is_error(other.post("/api/clips/restore", json={"ids": made[:2]}), 410, "gone")
    assert len(me.post("/api/clips/restore", json={"ids": made[:2]}).json()["restored"]) == 2
    assert me.get("/api/clips").json()["total"] == 3

    is_error(anyone.get("/api/clips"), 401, "unauthorized")
    is_error(other.patch(f"/api/clips/{made[0]}", json={"title": "x"}), 404, "not_found")
    is_error(other.get(f"/api/clips/{made[0]}/family"), 404, "not_found")
    is_error(other.delete(f"/api/collections/{collection['id']}"), 404, "not_found")
    is_error(other.post("/api/clips/zip", json={"ids": made}), 409, "conflict")
    is_error(me.get("/api/clips?cursor=nonsense"), 422, "invalid_input")
    is_error(me.get("/api/clips?sort=best"), 422, "invalid_input")
    is_error(me.post("/api/clips/star", json={"ids": [1]}), 422, "invalid_input")


def test_what_is_made_from_a_clip_is_of_its_family(connect: Connect) -> None:
    me = connect(SECRET)
    first = make(me, prompt="a lighthouse", seed=8)["job_id"]
    longer = make(me, prompt="it goes on", continue_from=first)["job_id"]
    (found,) = me.get(f"/api/clips/{longer}/family").json()["family"]
    assert (found["relation"], found["clip"]["job_id"]) == ("continued_from", first)
    (back,) = me.get(f"/api/clips/{first}/family").json()["family"]
    assert (back["relation"], back["clip"]["job_id"]) == ("continued_to", longer)
