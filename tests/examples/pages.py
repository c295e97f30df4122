"""What an example's page says, without the script that draws its charts."""

import json
import re

from plotly.offline import get_plotlyjs


def own_part(path):
    """The page at a path without plotly, which is in it once; nothing is loaded."""
    page = path.read_text()
    assert page.count(get_plotlyjs()) == 1
    own = page.replace(get_plotlyjs(), "")
    assert not re.search(r'(?:src|href)="(?!data:)', own)
    return own


def traces_of(own):
    """The traces of the only figure."""
    (chart,) = re.findall(
        r'<div class="plot".*?<script type="application/json">(.*?)</script>', own
    )
    return json.loads(chart)["data"]
