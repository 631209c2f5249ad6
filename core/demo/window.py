"""A window that shows pictures with Python's Tk. The headless OpenCV has no windows."""
from utils.errors import ProjectError


class Window:
    """Raises ProjectError if there is no display or Python has no Tk."""

    def __init__(self, title):
        try:
            import tkinter

            from PIL import ImageTk
            self._image_tk, self._error = ImageTk, tkinter.TclError
            self._root = tkinter.Tk()
        except ImportError as error:
            raise ProjectError(f'this Python cannot open windows ({error}); run without --display') from None
        except tkinter.TclError as error:
            raise ProjectError(f'no display is available ({error}); run without --display') from None
        self._root.title(title)
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._open = True
        for event in ('<q>', '<Escape>'):
            self._root.bind(event, self._leave)
        self._root.protocol('WM_DELETE_WINDOW', self._leave)

    def _leave(self, event=None):
        self._open = False

    def show(self, image):
        """Show [H,W,3] uint8 RGB -> whether the window is still open (q, Escape and its close button close it)."""
        from PIL import Image
        if self._open:
            picture = Image.fromarray(image)
            picture.thumbnail((self._root.winfo_screenwidth() - 80, self._root.winfo_screenheight() - 160))
            self._photo = self._image_tk.PhotoImage(picture)  # kept, because Tk holds no reference
            self._label.configure(image=self._photo)
            self._root.update()
        return self._open

    def close(self):
        self._root.destroy()
