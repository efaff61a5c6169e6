"""The directive `report-verdicts`: the report's ten statements as a forest plot, of the run that the claims page shows."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from .. import claims
from ..results import results_folder
from . import forest, verdicts
from .chapters import recorded


class ReportVerdicts(SphinxDirective):
    """A forest plot of the report's statements; its rows lead to the figures of the chapters."""

    def run(self) -> list[nodes.Node]:
        """The plot as raw HTML, or a sentence where no claims have been collected."""
        parameters = recorded("claims").get("parameters")
        if parameters is None:
            return [nodes.paragraph("", "There are no verdicts yet; the command make book makes them.")]
        collected = claims.collect(results_folder(parameters["results_dir"]))
        pages = self.env.app.builder.get_relative_uri(self.env.docname, "executed/claims").rpartition("/")[0]
        shown = forest.plot(verdicts.of_the_report(collected), f"{pages}/", "report", filtered=False)
        return [nodes.raw("", shown, format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("report-verdicts", ReportVerdicts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
