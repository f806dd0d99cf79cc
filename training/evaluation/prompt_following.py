"""How well clips follow their prompt, beside the autoencoder's and the judges' own accuracy."""

from __future__ import annotations

from collections import Counter

from training.evaluation.confidence import Proportion, mean, proportion
from training.evaluation.judged_clips import (
    Findings,
    JudgedClip,
    JudgedClips,
    Table,
    proportions_right,
)


def evaluate_prompt_following(clips: JudgedClips, accuracy: dict[str, Proportion]) -> Findings:
    findings = Findings()
    text, pictures, recoded = (clips.of(s) for s in ("text", "pictures", "autoencoder"))
    right, right_pictures, recoded_accuracy = (
        proportions_right(text),
        proportions_right(pictures),
        proportions_right(recoded),
    )
    first_frame = mean([seen.measures["first_frame_db"] for seen in pictures])
    best_first_frame = mean([seen.measures["first_frame_at_best_db"] for seen in pictures])
    autoencoder_db = mean([seen.measures["clip_db"] for seen in recoded])
    for name, values in (
        ("text", right), ("pictures", right_pictures), ("judges", accuracy), 
        ("judges_after_autoencoder", recoded_accuracy),
    ):  # fmt: skip
        findings.figures |= {f"{name}_{kind}": value for kind, value in values.items()}
    findings.figures |= {
        "pictures_first_frame_db": first_frame,
        "pictures_first_frame_at_best_db": best_first_frame,
        "autoencoder_db": autoencoder_db,
        "autoencoder_edges_kept": mean([seen.measures["edges_kept"] for seen in recoded]),
        "seconds_a_clip": mean([seen.seconds for seen in text]),
    }
    rows = [
        (
            f"text: the right {kind}",
            str(right[kind]),
            goal,
            str(accuracy[kind]),
            str(recoded_accuracy[kind]),
        )
        for kind, goal in (("motion", "95 %"), ("place", "97 %"), ("subject", "90 %"))
    ]
    rows += [
        ("picture: the right motion", str(right_pictures["motion"]), "90 %",
         str(accuracy["motion"]), str(recoded_accuracy["motion"])),
        ("picture: keeps its subject", str(right_pictures["subject"]), "", str(accuracy["subject"]),
         str(recoded_accuracy["subject"])),
        ("picture: first frame to the input", first_frame.text(1, "dB"), "26 dB", "",
         best_first_frame.text(1, "dB")),
        ("autoencoder: whole clips", autoencoder_db.text(1, "dB"), "28 dB", "", ""),
        ("autoencoder: edges kept", f"{findings.figures['autoencoder_edges_kept'].value:.2f}", "",  # type: ignore[union-attr]
         "", ""),
    ]  # fmt: skip
    with_colour = [seen for seen in text if seen.row.expected.colour]
    if with_colour:
        findings.figures["text_colour"] = proportion([seen.right("colour") for seen in with_colour])
        rows.insert(3, ("text: the right colour", str(findings.figures["text_colour"]), "", "", ""))
    heads = ("", "this model", "target", "judge, renderings", "judge, reconstructions")
    note = (
        f"{len(text)} clips from text, {len(pictures)} from pictures, {len(recoded)} recoded; "
        "95 % confidence intervals in brackets"
    )
    if autoencoder_db.values:
        note += f"; the worst recoded clip {min(autoencoder_db.values):.1f} dB"
    table = Table("Prompt following", heads, rows, note)
    findings.tables.append(table)
    findings.card.append(table)
    for kind in ("motion", "place", "subject"):
        findings.tables.append(_by_name(kind, text, pictures))
    if text:
        findings.card.append(_by_name("motion", text, pictures))
    return findings


def _by_name(kind: str, text: list[JudgedClip], pictures: list[JudgedClip]) -> Table:
    def named(seen: list[JudgedClip], name: str) -> list[JudgedClip]:
        return [s for s in seen if getattr(s.row.expected, kind) == (name,)]

    names = dict.fromkeys(getattr(s.row.expected, kind)[0] for s in text)
    rows = []
    for name in names:
        here = named(text, name)
        wrong = Counter(getattr(s.verdict, kind) for s in here if not s.right(kind))
        confusions = ", ".join(f"{other} {n}" for other, n in wrong.most_common(3))
        right, right_pictures = (
            proportion([s.right(kind) for s in x]) for x in (here, named(pictures, name))
        )
        rows.append((right, (name, f"{right.right} of {right.count}", str(right), confusions,
                             f"{right_pictures.right} of {right_pictures.count}")))  # fmt: skip
    rows.sort(key=lambda pair: (pair[0].value, pair[1][0]))
    heads = (kind, "text", "share", "confused with", "pictures")
    return Table(f"By {kind}, lowest first", heads, [row for _, row in rows])
