"""What verbs take and return: images, photographs in full size, music, lines of text and latent codes.

A medium is a frozen dataclass derived from Item (which says how an item was made and from what), with a `name`, a
`digest` of its content and, for the command line, these class attributes:

    NOUN               what messages call one, such as "image"
    INPUT_SUFFIXES     suffixes of the files that load(path) reads
    SUFFIX             suffix of the file that save(path) writes, one file for each item; "" if there is no such file
    COMBINED_WRITERS   suffix -> function(items, path) that writes all items into one file
    PRINTED            whether items are printed to the terminal if no output file is named
    LAZY               whether input files are read one at a time when needed; check(path) then looks at each beforehand
                       and returns what a user should know of it, or ""

Importing this room does not import torch; functions that take or return tensors do.
"""

from reverie.media.code import Code, save_codes
from reverie.media.image import Image, comparison_grid, grid_of_groups, image_grid, reconstruction_grid
from reverie.media.item import inputs_of
from reverie.media.item_list import ItemList
from reverie.media.lazy_files import LazyFiles
from reverie.media.metadata import RECORD, XMP
from reverie.media.music import Music, medley, rolls
from reverie.media.photo import Photo, photo_grid
from reverie.media.read_metadata import read_record
from reverie.media.sound_preview import with_sound
from reverie.media.text import Text, save_texts
from reverie.media.text_image import text_sheet

__all__ = [
    "RECORD",
    "XMP",
    "Code",
    "Image",
    "ItemList",
    "LazyFiles",
    "Music",
    "Photo",
    "Text",
    "comparison_grid",
    "grid_of_groups",
    "image_grid",
    "inputs_of",
    "medley",
    "photo_grid",
    "read_record",
    "reconstruction_grid",
    "rolls",
    "save_codes",
    "save_texts",
    "text_sheet",
    "with_sound",
]
