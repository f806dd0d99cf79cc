"""Does it do what the words say? Text, pictures, the autoencoder, and the judges themselves."""

from __future__ import annotations

from collections import Counter

from training.evaluation.confidence import Share, mean, share
from training.evaluation.judged_clips import Evidence, Findings, Seen, Table, shares


def obedience(evidence: Evidence, own: dict[str, Share]) -> Findings:
    found = Findings()
    text, pictures, recoded = (evidence.of(s) for s in ("text", "pictures", "autoencoder"))
    right, moved, after = shares(text), shares(pictures), shares(recoded)
    first = mean([seen.measures["first_frame_db"] for seen in pictures])
    best = mean([seen.measures["first_frame_at_best_db"] for seen in pictures])
    whole = mean([seen.measures["clip_db"] for seen in recoded])
    for name, values in (
        ("text", right), ("pictures", moved), ("judges", own), ("judges_after_autoencoder", after),
    ):  # fmt: skip
        found.figures |= {f"{name}_{kind}": value for kind, value in values.items()}
    found.figures |= {
        "pictures_first_frame_db": first,
        "pictures_first_frame_at_best_db": best,
        "autoencoder_db": whole,
        "autoencoder_edges_kept": mean([seen.measures["edges_kept"] for seen in recoded]),
        "seconds_a_clip": mean([seen.seconds for seen in text]),
    }
    rows = [
        (f"text: the right {kind}", str(right[kind]), goal, str(own[kind]), str(after[kind]))
        for kind, goal in (("motion", "95 %"), ("place", "97 %"), ("subject", "90 %"))
    ]
    rows += [
        ("picture: moves as told", str(moved["motion"]), "90 %", str(own["motion"]),
         str(after["motion"])),
        ("picture: keeps its subject", str(moved["subject"]), "", str(own["subject"]),
         str(after["subject"])),
        ("picture: first frame to the given one", first.text(1, "dB"), "26 dB", "",
         best.text(1, "dB")),
        ("autoencoder: whole clips", whole.text(1, "dB"), "28 dB", "", ""),
        ("autoencoder: edges kept", f"{found.figures['autoencoder_edges_kept'].value:.2f}", "",  # type: ignore[union-attr]
         "", ""),
    ]  # fmt: skip
    coloured = [seen for seen in text if seen.row.asked.colour]
    if coloured:
        found.figures["text_colour"] = share([seen.right("colour") for seen in coloured])
        rows.insert(3, ("text: the right colour", str(found.figures["text_colour"]), "", "", ""))
    heads = ("", "this model", "aim", "judge, renderings", "the same, through the autoencoder")
    note = (
        f"{len(text)} clips from text, {len(pictures)} from pictures, {len(recoded)} recoded; "
        "in brackets where the true share lies 95 times in 100"
    )
    if whole.values:
        note += f"; the worst recoded clip {min(whole.values):.1f} dB"
    table = Table("Does it do what the words say?", heads, rows, note)
    found.tables.append(table)
    found.card.append(table)
    for kind in ("motion", "place", "subject"):
        found.tables.append(_by_name(kind, text, pictures))
    if text:
        found.card.append(_by_name("motion", text, pictures))
    return found


def _by_name(kind: str, text: list[Seen], pictures: list[Seen]) -> Table:
    def named(seen: list[Seen], name: str) -> list[Seen]:
        return [s for s in seen if getattr(s.row.asked, kind) == (name,)]

    names = dict.fromkeys(getattr(s.row.asked, kind)[0] for s in text)
    rows = []
    for name in names:
        here = named(text, name)
        wrong = Counter(getattr(s.verdict, kind) for s in here if not s.right(kind))
        taken = ", ".join(f"{other} {n}" for other, n in wrong.most_common(3))
        right, moved = (share([s.right(kind) for s in x]) for x in (here, named(pictures, name)))
        rows.append((right, (name, f"{right.right} of {right.count}", str(right), taken,
                             f"{moved.right} of {moved.count}")))  # fmt: skip
    rows.sort(key=lambda pair: (pair[0].value, pair[1][0]))
    heads = (kind, "text", "share", "taken for", "pictures")
    return Table(f"By {kind}, the worst first", heads, [row for _, row in rows])
