// @ts-check
/* Two soft tones, made here: no file, and quiet. */
const TONES = [659.25, 987.77]; // E5, B5
const APART_S = 0.16;
const LASTS_S = 0.9;
const LOUDNESS = 0.05;

export async function playDone() {
  try {
    const context = new AudioContext();
    await context.resume(); // suspended until the visitor has pressed something on the page
    TONES.forEach((frequency, n) => {
      const starts = context.currentTime + n * APART_S;
      const tone = new OscillatorNode(context, { type: "sine", frequency });
      const level = new GainNode(context, { gain: 0 });
      level.gain.setValueAtTime(0, starts);
      level.gain.linearRampToValueAtTime(LOUDNESS, starts + 0.02);
      level.gain.exponentialRampToValueAtTime(0.0001, starts + LASTS_S);
      tone.connect(level).connect(context.destination);
      tone.start(starts);
      tone.stop(starts + LASTS_S);
    });
    setTimeout(() => context.close(), 1000 * (APART_S + LASTS_S) + 500);
  } catch {
    // a browser without sound
  }
}
