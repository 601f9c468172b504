"""Sphinx's configuration of the book."""

from tools.offline import mathjax

MATHJAX = mathjax()

project = "ltm_edu"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "tools.book.checks",
]
exclude_patterns = ["extra"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
default_role = "py:obj"  # docstrings write `name`

nb_execution_mode = "off"  # the notebooks stand as they are saved
nb_merge_streams = True
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
myst_dmath_allow_labels = False
myst_update_mathjax = False

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "sphinx_book_theme"
html_context = {"default_mode": "auto"}  # dark where the reader's system is
html_title = "ltm_edu"
html_static_path = ["static", str(MATHJAX)]
html_css_files = ["book.css"]
html_js_files = ["book.js"]
html_copy_source = False
html_use_index = False  # the search finds names
smartquotes = False  # a prime is no quotation mark
html_domain_indices = False  # the list of modules is the contents of the API
html_sidebars = {"_modules/**": ["navbar-logo.html", "search-button-field.html"]}
html_theme_options = {
    "show_toc_level": 2,
    "navbar_persistent": [],
    "use_download_button": False,
    "search_bar_text": "Search the course",
    "footer_content_items": ["extra-footer"],
    "extra_footer": "Text and code: MIT licence. Drawings of the miniature, and figures that show "
    'them: <a href="https://openmoji.org">OpenMoji</a>, CC BY-SA 4.0.',
}
mathjax_path = MATHJAX.name
mathjax3_config = {
    "tex": {"inlineMath": [["\\(", "\\)"]]},
    "options": {"ignoreHtmlClass": "tex2jax_ignore|document", "processHtmlClass": "math"},
    "svg": {"scale": 0.92},
}
