"""TFLite networks, run by ai-edge-litert, which is imported when the first one is opened."""
import numpy as np

from utils.errors import BadFile
from utils.optional_packages import import_package


class TFLiteNetwork:
    """A network with one input, on the CPU. threads: how many it may use. Raises MissingPackage, BadFile."""

    def __init__(self, path, threads=1):
        litert = import_package('ai_edge_litert.interpreter', 'BlazePose')
        try:
            self._interpreter = litert.Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise BadFile(f'{path}: not a TFLite network ({" ".join(str(error).split())[:80]})') from None
        self._input, = self._interpreter.get_input_details()
        self._outputs = {output['name']: output['index'] for output in self._interpreter.get_output_details()}

    @property
    def input_shape(self):
        return tuple(int(size) for size in self._input['shape'])

    def __call__(self, values, names):
        """Run the network on `values` in its input's shape -> copies of the named outputs."""
        self._interpreter.set_tensor(self._input['index'], np.ascontiguousarray(values, np.float32))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(self._outputs[name]) for name in names]
