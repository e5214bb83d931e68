"""The page in a real browser: Debian's Chromium, driven by selenium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_core_python.selenium import Axe
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from deploy.process import LOOPBACK
from tests import PATIENCE_S
from tests.conftest import TOY_REGISTRY, TOY_VERSION, missing
from tests.fixtures.bundles import NAMES, SECOND, Change, ToyRegistry
from tests.fixtures.rest import send, serving_rest
from tests.fixtures.running import Deployment, RunningWorker

TOKEN = "a-token-of-some-length"
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a folder: the tests leave pictures there


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        missing("chromium is not installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    folder = tmp_path_factory.mktemp("chromium")
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage", f"user-data-dir={folder}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options, service)
    driver.set_page_load_timeout(PATIENCE_S)
    yield driver
    driver.quit()


class Page:
    """The page of a front, and what a person sees and does there."""

    def __init__(self, driver: webdriver.Chrome, served: RunningWorker) -> None:
        self._driver = driver
        self.console()  # drops what it said of the page before
        driver.get(f"http://{LOOPBACK}:{served.port}/")

    def text(self, name: str) -> str:
        return self._driver.find_element(By.ID, name).text

    def rows(self, name: str) -> list[str]:
        return self.text(name).splitlines()

    def table(self, name: str) -> list[tuple[str, str]]:
        """Return the first and last cell of each row."""
        rows = self._driver.find_elements(By.CSS_SELECTOR, f"#{name} tr")
        cells = ("th", "td:last-child")
        found = [[row.find_element(By.CSS_SELECTOR, cell).text for cell in cells] for row in rows]
        return [(first, last) for first, last in found]

    def until(self, probe: Any) -> Any:
        return WebDriverWait(self._driver, PATIENCE_S).until(lambda _: probe())

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        self._driver.switch_to.active_element.send_keys(*keys)

    @property
    def focus(self) -> str:
        return str(self._driver.execute_script("return document.activeElement.id || document.activeElement.name"))

    def tab_to(self, name: str) -> None:
        for _ in range(30):
            self.press(Keys.TAB)
            if self.focus == name:
                return
        raise AssertionError(f"{name} cannot be reached by keyboard")

    def look(self, name: str, *, scheme: str = "light", width: int = 1100, height: int = 900) -> None:
        """Set the colours and the size of the window, and keep a picture."""
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        if SCREENSHOTS:
            self._driver.save_screenshot(str(Path(SCREENSHOTS) / f"{name}.png"))

    def console(self) -> list[str]:
        """Return what the console has said since the last call."""
        lines = self._driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [line["message"] for line in lines if "/v1/model/report" not in line["message"]]  # the toy has none

    def faults(self) -> list[str]:
        """Return what a checker of accessibility finds, what the console says, and whether it scrolls sideways."""
        found = Axe().run(self._driver)
        faults = [f"{fault['id']}: {fault['nodes'][0]['html']}" for fault in found["violations"]]
        faults += self.console()
        wide = self._driver.execute_script("return document.documentElement.scrollWidth > window.innerWidth")
        return faults + ["scrolls sideways"] * bool(wide)


def test_a_review_is_rated_as_it_is_typed_by_keyboard_alone(chromium: webdriver.Chrome, tmp_path: Path) -> None:
    with serving_rest(tmp_path, {"WORKER_REGISTRY": os.environ.get("PAGE_REGISTRY", str(TOY_REGISTRY))}) as served:
        page = Page(chromium, served)
        page.until(lambda: page.text("model").startswith("model "))
        page.tab_to("text")
        page.press("I don't think this is good at all")
        page.until(lambda: page.text("stars"))
        assert page.text("stars").count("★") + page.text("stars").count("☆") == 5
        shares = page.table("shares")
        assert [label for label, _ in shares] == ["5", "4", "3", "2", "1"]
        assert sum(float(share.rstrip("%")) for _, share in shares) == pytest.approx(100, abs=0.3)
        assert "% confident" in page.text("sure")
        assert page.until(lambda: page.text("words")) == "I don't think this is good at all"
        assert "good" in page.text("decided")
        (good,) = chromium.find_elements(By.XPATH, "//mark[text()='good']")
        assert good.get_attribute("class") == "up"
        for scheme in ("light", "dark"):
            page.look(f"rated-{scheme}", scheme=scheme)
            assert page.faults() == []
        page.look("rated-phone", width=360, height=740)
        assert page.faults() == []
        spoken = page.until(lambda: chromium.find_element(By.ID, "spoken").get_attribute("textContent"))
        assert spoken.endswith("% confident")
        page.press(Keys.CONTROL, "a", Keys.CONTROL, Keys.DELETE)
        page.until(lambda: not page.text("stars"))


def test_the_stream_and_an_apps_ratings_are_shown(
    chromium: webdriver.Chrome, deployment: Deployment, tmp_path: Path
) -> None:
    deployment.settings["redis_form"] = 2
    deployment.worker().ready()
    with serving_rest(tmp_path, deployment.environ) as served:
        page = Page(chromium, served)
        page.tab_to("live")
        page.press(Keys.ENTER)
        page.until(lambda: page.text("live-state") == "Watching; nothing yet.")
        hostile = "<img src=x onerror=alert(1)>"
        reviews = [{"text": text, "app_id": "maps", "review_id": f"r-{text}"} for text in ("good", "bad", "worst")]
        send(served, "/v1/reviews", {"reviews": [*reviews, {"text": "good", "review_id": hostile}]})
        page.until(lambda: page.text("live-state") == "4 ratings")
        shown = page.rows("ratings")
        assert {row for row in shown if row.startswith("r-")} == {"r-good", "r-bad", "r-worst"}
        assert hostile in shown
        assert shown.count("★★★★★") == 2
        chromium.find_element(By.XPATH, "//li//button[text()='maps']").click()
        page.until(lambda: page.text("app-mean"))
        assert page.text("app-mean") == "2.33 on average, 3 reviews"
        assert page.table("app-shares") == [("5", "1"), ("4", "0"), ("3", "0"), ("2", "0"), ("1", "2")]
        page.until(lambda: page.text("trend-state").startswith("3 reviews, 2.33 on average; by day from 2.33 to 2.33"))
        Select(chromium.find_element(By.ID, "trend-by")).select_by_visible_text("version")
        page.until(lambda: page.text("trend-state").startswith("3 reviews, 2.33 on average; by version"))
        chromium.find_element(By.TAG_NAME, "details").click()
        assert page.table("trend-rows") == [("unknown", "3")]
        chromium.find_element(By.ID, "words-show").click()
        page.until(
            lambda: page.text("words-state").startswith("3 reviews: 2.33 by their texts; 0 in the 7 days before")
        )
        assert page.rows("app-words")[0] == "star 1, 2 reviews"
        page.look("live-dark", scheme="dark")
        assert page.faults() == []
        chromium.find_element(By.ID, "live-app").send_keys("maps", Keys.TAB)
        page.until(lambda: page.text("live-state") == "Watching; nothing yet.")
        old = {"text": "good", "app_id": "maps", "created_at": "2020-01-01T00:00:00Z"}
        other = {"text": "good", "app_id": "other"}
        send(served, "/v1/reviews", {"reviews": [other, {"text": "bad", "app_id": "maps"}, old]})
        page.until(lambda: page.text("live-state") == "2 ratings")
        chromium.get(f"http://{LOOPBACK}:{served.port}/?app=maps&by=version&words=version")
        page.until(lambda: page.text("trend-state").startswith("4 reviews, 2.00 on average; by version"))
        assert page.text("trend-state").endswith("Counted apart: 1 of a time that is not kept.")
        page.until(lambda: page.text("words-state").startswith("4 reviews: 2.00 by their texts"))
        assert page.rows("app-words")[0] == "version unknown, 4 reviews"
        page.look("linked")
        assert page.faults() == []


def test_a_label_models_page_shows_labels_instead_of_stars(
    chromium: webdriver.Chrome, deployment: Deployment, tmp_path: Path
) -> None:
    registry = ToyRegistry(tmp_path / "registry")
    registry.publish(SECOND, Change(names=NAMES))
    registry.point("stable", SECOND)
    deployment.settings |= {"redis_form": 2, "registry": str(registry.root)}
    deployment.worker().ready()
    with serving_rest(tmp_path, deployment.environ) as served:
        page = Page(chromium, served)
        page.until(lambda: page.text("live-kind") == "Label")
        page.tab_to("text")
        page.press("bad but good")
        page.until(lambda: page.text("stars") == "anger, joy")
        assert [label for label, _ in page.table("shares")[:2]] == ["anger", "joy"]
        assert "expected" not in page.text("sure")
        page.until(lambda: page.text("words") == "bad but good")
        assert page.text("effects") == "the probability of anger"
        Select(chromium.find_element(By.ID, "live-stars")).select_by_visible_text("joy")
        chromium.find_element(By.ID, "live").click()
        page.until(lambda: page.text("live-state") == "Watching; nothing yet.")
        texts = ("good", "bad", "worst", "good and bad")
        send(served, "/v1/reviews", {"reviews": [{"text": text, "app_id": "maps"} for text in texts]})
        page.until(lambda: page.text("live-state") == "2 ratings")
        assert {row for row in page.rows("ratings") if "joy" in row} == {"joy", "anger, joy"}
        chromium.find_element(By.XPATH, "//li//button[text()='maps']").click()
        page.until(lambda: page.text("app-mean") == "most often; 4 reviews")
        assert page.table("app-shares") == [("anger", "3"), ("joy", "2")]
        page.until(lambda: page.text("trend-state") == "4 reviews by day; the table has the labels.")
        chromium.find_element(By.TAG_NAME, "details").click()
        assert [count for _, count in page.table("trend-rows")] == ["4"]
        page.look("labels")
        assert page.faults() == []


def test_with_a_token_the_page_asks_for_it(chromium: webdriver.Chrome, tmp_path: Path) -> None:
    environ = {"WORKER_REGISTRY": str(TOY_REGISTRY), "WORKER_REST_TOKEN": TOKEN}
    with serving_rest(tmp_path, environ) as served:
        page = Page(chromium, served)
        page.until(lambda: page.text("access-title"))
        page.look("token")
        page.tab_to("token")
        page.press(TOKEN, Keys.ENTER)
        page.until(lambda: TOY_VERSION in page.text("model"))
        page.tab_to("text")
        page.press("good")
        page.until(lambda: "★★★★★" in page.text("stars"))
        assert TOKEN not in served.child.log_output
