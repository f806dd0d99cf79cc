"""What `bench/operations.py` compares: each operation and each kind of file in our short form, and
the ffmpeg command that a person would write for the same."""

from __future__ import annotations

from dataclasses import dataclass

from media.encode import GIF_DITHER, H264, H264_CRF, VP9, VP9_CRF
from media.operations.encoders import AV1_CRF, WEBP_QUALITY
from media.operations.outputs import OutputFormat

FPS = 24
KEYFRAMES = ("-g", str(2 * FPS))
X264 = (*H264, "-pix_fmt", "yuv420p", "-crf", str(H264_CRF["medium"]), *KEYFRAMES)
AAC = ("-c:a", "aac", "-b:a", "192k")
OPUS = ("-c:a", "libopus", "-b:a", "128k")
MP4 = (*X264, *AAC, "-movflags", "+faststart", "-f", "mp4")
VIDEO_KBPS = 4000
TARGET_MB = 2.1
"""What four seconds with so many bits are."""
TWO_PASSES = (*H264, *KEYFRAMES, "-b:v", f"{VIDEO_KBPS}k", "-passlogfile", "passes")
MUSIC, TABLE, WORDS, FONT = "music.flac", "table.cube", "words.srt", "font.ttf"
FILE_IDS = {name: f"{number:064x}" for number, name in enumerate((MUSIC, TABLE, WORDS))}


@dataclass(frozen=True)
class Case:
    """`filters` and `sound` are -vf and -af; with labels, `filters` is -filter_complex with the
    outputs [v] and [a]. {width} and {height} are those of the clip, {sigma} is a blur that our
    operation chooses for it. Files lie in the folder in which the command runs."""

    ours: str
    filters: str = ""
    sound: str = ""
    before: tuple[str, ...] = ()
    """Options of the input."""
    more_inputs: tuple[str, ...] = ()
    first_pass: tuple[str, ...] = ()
    """Options of a command before, which only measures."""
    format: OutputFormat = "mp4"
    codec: tuple[str, ...] = MP4
    num_clips: int = 1
    seconds: int = 4
    """Of the clip."""
    target_mb: float | None = None

    @property
    def label(self) -> str:
        words = self.ours or "no operation"
        for name, id in FILE_IDS.items():
            words = words.replace(id, name)
        size = f", {self.target_mb:g} MB" if self.target_mb else ""
        return f"{words}, {self.format}{size}"


CASES = (
    Case(""),
    # time
    Case("trim=1:3", before=("-ss", "1", "-t", "2")),
    Case("split=2:after", before=("-ss", "2")),
    Case("speed=0.5", "setpts=2*PTS,fps=24", "rubberband=tempo=0.5"),
    Case("reverse", "reverse", "areverse"),
    Case(
        "loop",
        "[0:v]split[x][y];[y]reverse[z];[x][z]concat=n=2:v=1[v];"
        "[0:a]asplit[r][s];[s]areverse[t];[r][t]concat=n=2:v=0:a=1[a]",
    ),
    Case(
        "loop=crossfade",
        "[0:v]split=3[x][y][z];[x]trim=0:0.5,setpts=PTS-STARTPTS[x1];"
        "[y]trim=0.5:3.5,setpts=PTS-STARTPTS[y1];[z]trim=3.5:4,setpts=PTS-STARTPTS[z1];"
        "[z1][x1]xfade=fade:duration=0.5:offset=0[f];[y1][f]concat=n=2:v=1[v];"
        "[0:a]asplit=3[r][s][t];[r]atrim=0:0.5[r1];[s]atrim=0.5:3.5,asetpts=PTS-STARTPTS[s1];"
        "[t]atrim=3.5:4,asetpts=PTS-STARTPTS[t1];[t1][r1]acrossfade=d=0.5[g];"
        "[s1][g]concat=n=2:v=0:a=1[a]",
    ),
    Case("freeze=1:1", "loop=loop=24:size=1:start=24,setpts=N/24/TB", "apad=pad_dur=1"),
    # shape
    Case("crop=shape=1/1", "crop=ih:ih"),
    Case("pad=shape=1/1", "pad=iw:iw:0:(oh-ih)/2"),
    Case(
        "pad=shape=1/1:background=blur",
        "[0:v]split[x][y];[y]scale=-2:iw:flags=bilinear,crop=ih:ih,"
        "gblur=sigma={sigma}:steps=2[z];[z][x]overlay=0:(H-h)/2[v];[0:a]anull[a]",
    ),
    Case("rotate=90", "transpose=clock"),
    Case(
        "interpolate=2",
        "minterpolate=fps=48:mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1",
        seconds=1,
    ),
    Case("upscale=2", "scale=2*iw:-2:flags=lanczos,cas=strength=0.3:planes=1", seconds=2),
    # look
    Case("deflicker", "deflicker=size=9:mode=pm"),
    Case(
        "stabilise",
        "vidstabtransform=input=shake.trf:smoothing=12:optzoom=1:interpol=bicubic",
        first_pass=("-vf", "vidstabdetect=shakiness=6:accuracy=12:result=shake.trf"),
    ),
    Case("colour=0.3:1.1:1.2", "exposure=0.3,eq=contrast=1.1:saturation=1.2"),
    Case(f"lut={FILE_IDS[TABLE]}", f"lut3d=file={TABLE}"),
    Case("grain", "noise=c0s=12:c0f=t"),
    Case("vignette", "vignette=PI/5"),
    # several clips, sound and words
    Case("join", "[0:v][0:a][1:v][1:a]concat=n=2:v=1:a=1[v][a]", num_clips=2),
    Case(
        "join=crossfade",
        "[0:v][1:v]xfade=fade:duration=0.5:offset=3.5[v];[0:a][1:a]acrossfade=d=0.5[a]",
        num_clips=2,
    ),
    Case(
        f"sound={FILE_IDS[MUSIC]}",
        "[0:v]null[v];[0:a][1:a]amix=normalize=0:duration=first,volume=-3dB,"
        "alimiter=limit=0.7:level=0:latency=1[a]",
        more_inputs=("-i", MUSIC),
        first_pass=(
            *("-vn", "-filter_complex", "[0:a][1:a]amix=normalize=0:duration=first,ebur128[a]"),
            *("-map", "[a]"),
        ),
    ),
    Case(f"subtitles={FILE_IDS[WORDS]}", f"subtitles={WORDS}"),
    Case(
        f"subtitles={FILE_IDS[WORDS]}:track",
        more_inputs=("-i", WORDS),
        codec=("-c:s", "mov_text", *MP4),
    ),
    Case("title=Snow:over", f"drawtext=fontfile={FONT}:text=Snow:fontsize=60:x=99:y=99"),
    Case(
        "title=Snow:start:1",
        f"color=c=black:s={{width}}x{{height}}:r={FPS}:d=1,format=yuv420p,drawtext=fontfile={FONT}:text=Snow:"
        "fontsize=60:fontcolor=white:x=99:y=99[c];[c][0:v]concat=n=2:v=1[v];"
        "[0:a]adelay=1000:all=1[a]",
    ),
    Case(
        "trim=0.5:3.5 speed=1.5 crop=shape=1/1 vignette",
        "trim=0.5:3.5,setpts=(PTS-STARTPTS)/1.5,fps=24,crop=ih:ih,vignette=PI/5",
        "atrim=0.5:3.5,asetpts=PTS-STARTPTS,rubberband=tempo=1.5",
    ),
    # kinds of file
    Case(
        "",
        first_pass=(*TWO_PASSES, "-pass", "1", "-an"),
        codec=(*TWO_PASSES, "-pass", "2", *AAC, "-movflags", "+faststart", "-f", "mp4"),
        target_mb=TARGET_MB,
    ),
    Case(
        "",
        format="webm",
        codec=(*VP9, *KEYFRAMES, "-crf", str(VP9_CRF["medium"]), "-b:v", "0", *OPUS, "-f", "webm"),
    ),
    Case(
        "",
        format="webm-av1",
        codec=(
            "-c:v",
            "libsvtav1",
            "-preset",
            "8",
            *KEYFRAMES,
            "-crf",
            str(AV1_CRF["medium"]),
            *OPUS,
            "-f",
            "webm",
        ),
    ),
    Case(
        "",
        f"split[a][b];[a]palettegen=max_colors=128[p];[b][p]{GIF_DITHER}",
        format="gif",
        codec=("-an", "-f", "gif"),
        seconds=2,
    ),
    Case(
        "",
        "format=rgb24",
        format="apng",
        codec=("-an", "-c:v", "apng", "-pred", "mixed", "-f", "apng"),
        seconds=1,
    ),
    Case(
        "",
        "format=bgra",
        format="webp",
        codec=(
            "-an",
            "-c:v",
            "libwebp_anim",
            "-quality",
            str(WEBP_QUALITY["medium"]),
            "-f",
            "webp",
        ),
        seconds=1,
    ),
    Case(
        "",
        "format=rgb24",
        format="png-zip",
        codec=("-an", "-c:v", "png", "-pred", "mixed", "-f", "image2", "frame-%06d.png"),
        seconds=1,
    ),
    Case(
        "",
        "format=yuv422p10le",
        format="prores",
        codec=("-c:v", "prores_ks", "-profile:v", "standard", "-c:a", "pcm_s16le", "-f", "mov"),
        seconds=2,
    ),
)
