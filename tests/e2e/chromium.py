"""The browser of the tests: where it is, and how it is started."""

from __future__ import annotations

import os

CHROMIUM = os.environ.get("KINORA_CHROMIUM", "/usr/bin/chromium")

WITHOUT = (
    # of the window around a page: two more pages, made again for each new visitor
    "WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup",
    # Playwright's own list, which a list of ours replaces
    "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "PaintHolding",
    "ThirdPartyStoragePartitioning", "AvoidCorsURLLoaderRestartOnRedirect", "OptimizationHints",
    "NetworkTimeServiceQuerying", "AimEnabled", "PreconnectToSearch",
)  # fmt: skip

CHROMIUM_ARGS = ["--no-sandbox", "--disable-gpu", f"--disable-features={','.join(WITHOUT)}"]
