"""Drives a headless Chromium through its debugging pipe."""
import base64
import io
import json
import select
import shutil
import subprocess
import time

import numpy as np
from PIL import Image

_FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
          '--disable-background-networking', '--disable-component-update', '--use-gl=angle',
          '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--hide-scrollbars', '--remote-debugging-pipe',
          '--disable-dev-shm-usage', '--mute-audio']


def find_chromium():
    return next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)


class Chromium:
    """One tab of a new browser; a context manager."""

    def __init__(self, profile, size=(1000, 600), seconds=60):
        # Chromium reads from descriptor 3 and writes to descriptor 4.
        command = ['sh', '-c', 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1', 'sh', find_chromium(), *_FLAGS,
                   f'--user-data-dir={profile}', f'--window-size={size[0]},{size[1]}', 'about:blank']
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.seconds, self.count, self.unread = seconds, 0, b''
        self.session, self.log = None, []
        targets = self.send('Target.getTargets')['targetInfos']
        page = next(target for target in targets if target['type'] == 'page')
        self.session = self.send('Target.attachToTarget', targetId=page['targetId'], flatten=True)['sessionId']
        self.send('Runtime.enable')
        self.send('Page.enable')
        self.send('Emulation.setDeviceMetricsOverride', width=size[0], height=size[1], deviceScaleFactor=1,
                  mobile=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.process.stdin.close()
        self.process.stdout.close()

    def send(self, method, **parameters):
        """Call a method of the protocol and wait for its answer."""
        self.count += 1
        message = {'id': self.count, 'method': method, 'params': parameters}
        if self.session:
            message['sessionId'] = self.session
        self.process.stdin.write(json.dumps(message).encode() + b'\0')
        deadline = time.monotonic() + self.seconds
        while True:
            answer = self._receive(deadline)
            if answer.get('id') == self.count:
                assert 'error' not in answer, f'{method}: {answer["error"]}'
                return answer['result']
            if answer.get('method') == 'Runtime.exceptionThrown':
                self.log.append(answer['params']['exceptionDetails'])

    def _receive(self, deadline):
        while b'\0' not in self.unread:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            block = self.process.stdout.read(1 << 20) if ready else b''
            assert block, 'the browser did not answer'
            self.unread += block
        message, self.unread = self.unread.split(b'\0', 1)
        return json.loads(message)

    def open(self, address):
        self.log.clear()
        self.send('Page.navigate', url=address)
        self.wait_for(f'location.href === {json.dumps(address)} && document.readyState === "complete"')

    def ask(self, expression):
        """The value of a JavaScript expression."""
        answer = self.send('Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True)
        assert 'exceptionDetails' not in answer, answer['exceptionDetails']
        return answer['result'].get('value')

    def wait_for(self, condition):
        deadline = time.monotonic() + self.seconds
        while not self.ask(condition):
            assert time.monotonic() < deadline, f'never came true: {condition}'
            time.sleep(0.05)

    def mouse(self, kind, x, y, **more):
        self.send('Input.dispatchMouseEvent', type=kind, x=x, y=y, **more)

    def drag(self, start, end):
        self.mouse('mousePressed', *start, button='left', clickCount=1)
        self.mouse('mouseMoved', *end, button='left', buttons=1)
        self.mouse('mouseReleased', *end, button='left', clickCount=1)

    def choose_file(self, selector, path):
        """Select a file in an `<input type="file">`."""
        root = self.send('DOM.getDocument')['root']['nodeId']
        node = self.send('DOM.querySelector', nodeId=root, selector=selector)['nodeId']
        self.send('DOM.setFileInputFiles', nodeId=node, files=[str(path)])

    def picture(self):
        """A screenshot [H,W,3] uint8."""
        data = self.send('Page.captureScreenshot', format='png')['data']
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert('RGB'))
