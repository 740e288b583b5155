"""Open a page in Chromium, without a screen, and print what it finds: run by test_in_a_browser.py.

``python browser.py PAGE WIDTH`` prints a JSON object: messages of the console, how wide the page is
and the window, whether a column is in order after one and after two clicks on its head, and pairs
of texts that lie on each other.
"""

import json
import os
import sys

os.environ |= {
    "QT_QPA_PLATFORM": "offscreen",
    "QTWEBENGINE_DISABLE_SANDBOX": "1",
    "QTWEBENGINE_CHROMIUM_FLAGS": "--no-sandbox --disable-gpu",
}

from PyQt6.QtCore import QTimer, QUrl
from PyQt6.QtWebEngineCore import QWebEnginePage
from PyQt6.QtWebEngineWidgets import QWebEngineView
from PyQt6.QtWidgets import QApplication

LOOK = """(() => {
  const buttons = [...document.querySelectorAll("th button")];
  const button = buttons.find(each => each.textContent === "visits");
  const head = button.closest("th"), body = head.closest("table").tBodies[0];
  const values = () => [...body.rows].map(row => Number(row.cells[head.cellIndex].dataset.v));
  const ordered = (list, sign) => list.every((v, i) => !i || sign * (v - list[i - 1]) >= 0);
  button.click(); const up = ordered(values(), 1);
  button.click(); const down = ordered(values(), -1);
  const texts = [...document.querySelectorAll("h1, h2, p, li, .facts div, figcaption, summary")];
  const boxes = texts.map(each => [each, each.getBoundingClientRect()]);
  const meet = [];
  boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
    const apart = p.right <= q.left || q.right <= p.left || p.bottom <= q.top || q.bottom <= p.top;
    if (!apart && !a.contains(b) && !b.contains(a)) meet.push([a.textContent, b.textContent]);
  }));
  return JSON.stringify({up, down, meet, page: document.documentElement.scrollWidth,
    window: window.innerWidth, timeline: document.querySelectorAll(".bk-Figure").length});
})()"""


class Page(QWebEnginePage):
    def __init__(self, view):
        super().__init__(view)
        self.said = []

    def javaScriptConsoleMessage(self, level, message, line, source):  # noqa: N802 (Qt's name)
        self.said.append([level.name, message])


def main(file, width):
    app = QApplication(sys.argv[:1])
    view = QWebEngineView()
    page = Page(view)
    view.setPage(page)
    view.resize(width, 900)
    view.show()

    def tell(found):
        print(json.dumps(json.loads(found) | {"console": page.said}))
        app.quit()

    def look(_):
        QTimer.singleShot(2000, lambda: page.runJavaScript(LOOK, 0, tell))

    view.loadFinished.connect(look)
    view.load(QUrl.fromLocalFile(file))
    QTimer.singleShot(60_000, app.quit)
    app.exec()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
