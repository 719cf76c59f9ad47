"""What verbs take and give: pictures, photographs as they are, codes, lines of text. No torch until tensors are
asked for.

A medium is a frozen dataclass, a Item (which says how it was made and of what), with a `name` and, for the command
line,

    NOUN        what people call one
    INPUT_SUFFIXES       the endings of files that it is read from, by load(path)
    SUFFIX      of the files that it is written to, by save(path), one for each item; "" where there are none
    COMBINED_WRITERS    ending -> function(items, path) that writes all items, if there are several, into one file
    PRINTED     whether items go to the terminal where no file is asked for
    LAZY       whether files are read one by one as their turn comes; check(path) then looks at each before
"""

from reverie.media.code import Code, save_codes
from reverie.media.image import Image, comparison_grid, image_grid
from reverie.media.lazy_files import LazyFiles
from reverie.media.metadata import RECORD, XMP
from reverie.media.music import Music, medley, rolls
from reverie.media.photo import Photo
from reverie.media.read_metadata import read_record
from reverie.media.text import Text, save_texts
from reverie.media.text_image import text_sheet

__all__ = [
    "RECORD",
    "XMP",
    "Code",
    "Image",
    "LazyFiles",
    "Music",
    "Photo",
    "Text",
    "comparison_grid",
    "medley",
    "read_record",
    "rolls",
    "save_codes",
    "save_texts",
    "image_grid",
    "text_sheet",
]
