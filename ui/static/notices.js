// @ts-check
/* Whether a notification and a sound say that a clip is done; both off at first, and remembered. */
import { signal } from "./html.js";

/** @typedef {{ notification: boolean, sound: boolean }} Notices */

const STORED = "kinora-notices";

/** @returns {Notices} */
function read() {
  try {
    const { notification, sound } = JSON.parse(localStorage.getItem(STORED) ?? "{}");
    const isGranted = "Notification" in window && Notification.permission === "granted";
    return { notification: notification === true && isGranted, sound: sound === true };
  } catch {
    return { notification: false, sound: false };
  }
}

export const notices = signal(read());

/** @param {Partial<Notices>} changed */
export function setNotices(changed) {
  notices.value = { ...notices.peek(), ...changed };
  try {
    localStorage.setItem(STORED, JSON.stringify(notices.peek()));
  } catch {
    // where a browser blocks all of a site's data, it holds until the page is closed
  }
}

/** @returns {Promise<boolean>} whether the browser shows notifications of this page */
export async function requestNotifications() {
  if (!("Notification" in window)) return false;
  try {
    return (await Notification.requestPermission()) === "granted";
  } catch {
    return false;
  }
}
