"""Which emoji the bundled VAE and GAN learn, and the group that each belongs to.

Chosen by hand: scenes, vehicles, buildings, tools, signs with writing on them and people at sport
are left out, for at 64 pixels and in a small latent space nobody would know them again.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Group:
    name: str
    name_en: str
    name_zh: str
    members: str  # emoji, separated by spaces


@dataclass(frozen=True)
class Emoji:
    """What one picture shows."""

    emoji: str
    name_en: str
    name_zh: str
    group: str


GROUPS = (
    Group(
        "face",
        "Faces",
        "表情",
        "👹 👺 👻 👼 👽 👾 👿 💀 💩 😀 😁 😂 😃 😄 😅 😆 😇 😈 😉 😊 😋 😌 😍 "
        "😎 😏 😐 😑 😒 😓 😔 😕 😖 😗 😘 😙 😚 😛 😜 😝 😞 😟 😠 😡 😢 😣 😤 "
        "😥 😦 😧 😨 😩 😪 😫 😬 😭 😮 😮‍💨 😯 😰 😱 😲 😳 😴 😵 😵‍💫 😶 "
        "😶‍🌫 😷 🙁 🙂 🙃 🙄 🤐 🤑 🤒 🤓 🤔 🤕 🤖 🤗 🤠 🤡 🤢 🤣 🤤 🤥 🤧 🤨 "
        "🤩 🤪 🤫 🤬 🤭 🤮 🤯 🥰 🥱 🥲 🥳 🥴 🥵 🥶 🥸 🥹 🥺 🧐 🫠 🫡 🫢 🫣 🫤 "
        "🫥 🫨 🫩 ☹ ☺",
    ),
    Group(
        "person",
        "People",
        "人物",
        "🎅 👦 👧 👨 👨‍🌾 👨‍🍳 👨‍🎓 👨‍🎤 👨‍🎨 👨‍🏫 👨‍🏭 👨‍💻 👨‍💼 "
        "👨‍🔧 👨‍🔬 👨‍🚀 👨‍🚒 👨‍⚕ 👨‍⚖ 👨‍✈ 👩 👩‍🌾 👩‍🍳 👩‍🎓 👩‍🎤 "
        "👩‍🎨 👩‍🏫 👩‍🏭 👩‍💻 👩‍💼 👩‍🔧 👩‍🔬 👩‍🚀 👩‍🚒 👩‍⚕ 👩‍⚖ "
        "👩‍✈ 👮 👮‍♀ 👮‍♂ 👰 👰‍♀ 👰‍♂ 👱 👱‍♀ 👱‍♂ 👲 👳 👳‍♀ 👳‍♂ "
        "👴 👵 👷 👷‍♀ 👷‍♂ 👸 💁 💁‍♀ 💁‍♂ 💂 💂‍♀ 💂‍♂ 💆 💆‍♀ 💆‍♂ "
        "💇 💇‍♀ 💇‍♂ 🕵 🕵‍♀ 🕵‍♂ 🙅 🙅‍♀ 🙅‍♂ 🙆 🙆‍♀ 🙆‍♂ 🙋 🙋‍♀ "
        "🙋‍♂ 🙍 🙍‍♀ 🙍‍♂ 🙎 🙎‍♀ 🙎‍♂ 🤦 🤦‍♀ 🤦‍♂ 🤴 🤵 🤵‍♀ 🤵‍♂ "
        "🤶 🤷 🤷‍♀ 🤷‍♂ 🥷 🦸 🦸‍♀ 🦸‍♂ 🦹 🦹‍♀ 🦹‍♂ 🧌 🧏 🧏‍♀ 🧏‍♂ "
        "🧑 🧑‍🌾 🧑‍🍳 🧑‍🎄 🧑‍🎓 🧑‍🎤 🧑‍🎨 🧑‍🏫 🧑‍🏭 🧑‍💻 🧑‍💼 🧑‍🔧 "
        "🧑‍🔬 🧑‍🚀 🧑‍🚒 🧑‍⚕ 🧑‍⚖ 🧑‍✈ 🧒 🧓 🧔 🧔‍♀ 🧔‍♂ 🧕 🧙 🧙‍♀ "
        "🧙‍♂ 🧚 🧚‍♀ 🧚‍♂ 🧛 🧛‍♀ 🧛‍♂ 🧝 🧝‍♀ 🧝‍♂ 🧞 🧞‍♀ 🧞‍♂ 🧟 "
        "🧟‍♀ 🧟‍♂ 🫅",
    ),
    Group(
        "animal",
        "Animals",
        "动物",
        "🐀 🐁 🐂 🐃 🐄 🐅 🐆 🐇 🐈 🐈‍⬛ 🐉 🐊 🐋 🐌 🐍 🐎 🐏 🐐 🐑 🐒 🐓 🐔 "
        "🐕 🐖 🐗 🐘 🐙 🐚 🐛 🐜 🐝 🐞 🐟 🐠 🐡 🐢 🐣 🐤 🐥 🐦 🐦‍⬛ 🐧 🐨 🐩 "
        "🐪 🐫 🐬 🐭 🐮 🐯 🐰 🐱 🐲 🐳 🐴 🐵 🐶 🐷 🐸 🐹 🐺 🐻 🐻‍❄ 🐼 🐽 🐿 "
        "🕊 🕷 😸 😹 😺 😻 😼 😽 😾 😿 🙀 🙈 🙉 🙊 🦀 🦁 🦂 🦃 🦄 🦅 🦆 🦇 🦈 "
        "🦉 🦊 🦋 🦌 🦍 🦎 🦏 🦐 🦑 🦒 🦓 🦔 🦕 🦖 🦗 🦘 🦙 🦚 🦛 🦜 🦝 🦞 🦟 "
        "🦡 🦢 🦣 🦤 🦥 🦦 🦧 🦨 🦩 🦫 🦬 🦭 🦮 🪰 🪱 🪲 🪳 🪼 🪿 🫎 🫏",
    ),
    Group(
        "food",
        "Food",
        "食物",
        "🌭 🌮 🌯 🌰 🌶 🌽 🍄‍🟫 🍅 🍆 🍇 🍈 🍉 🍊 🍋 🍋‍🟩 🍌 🍍 🍎 🍏 🍐 🍑 "
        "🍒 🍓 🍔 🍕 🍖 🍗 🍘 🍙 🍚 🍛 🍜 🍝 🍞 🍟 🍠 🍡 🍢 🍣 🍤 🍥 🍦 🍧 🍨 "
        "🍩 🍪 🍫 🍬 🍭 🍮 🍯 🍰 🍱 🍲 🍳 🍵 🍶 🍷 🍸 🍹 🍺 🍻 🍾 🍿 🎂 🥂 🥃 "
        "🥐 🥑 🥒 🥓 🥔 🥕 🥖 🥗 🥘 🥙 🥚 🥛 🥜 🥝 🥞 🥟 🥠 🥡 🥣 🥤 🥥 🥦 🥧 "
        "🥨 🥩 🥪 🥫 🥬 🥭 🥮 🥯 🧀 🧁 🧂 🧃 🧄 🧅 🧆 🧇 🧈 🧉 🧋 🫐 🫑 🫒 "
        "🫓 🫔 🫕 🫗 🫘 🫛 🫜 ☕",
    ),
    Group(
        "plant",
        "Plants",
        "植物",
        "🌱 🌲 🌳 🌴 🌵 🌷 🌸 🌹 🌺 🌻 🌼 🌾 🌿 🍀 🍁 🍂 🍃 🍄 💐 🥀 🪴 🪷 🪻 ☘",
    ),
    Group(
        "heart",
        "Hearts",
        "爱心",
        "💌 💓 💔 💕 💖 💗 💘 💙 💚 💛 💜 💝 💞 💟 🖤 🤍 🤎 🧡 🩵 🩶 🩷 ♥ ❣ ❤ ❤‍🔥 ❤‍🩹",
    ),
    Group(
        "hand",
        "Hands",
        "手势",
        "👆 👇 👈 👉 👊 👋 👌 👍 👎 👏 👐 💪 🖐 🖖 🙌 🙏 🤌 🤏 🤘 🤙 🤚 🤛 "
        "🤜 🤝 🤞 🤟 🤲 🫰 🫱 🫲 🫳 🫴 🫵 🫶 🫷 🫸 ☝ ✊ ✋ ✌",
    ),
    Group(
        "sky",
        "Sky",
        "天空",
        "🌈 🌍 🌎 🌏 🌑 🌒 🌓 🌔 🌕 🌖 🌗 🌘 🌙 🌚 🌛 🌜 🌝 🌞 🌟 🌤 🌥 🌦 🌧 "
        "🌨 🌩 🌫 🪐 ☀ ☁ ☃ ⛄ ⛅ ⛈ ❄ ⭐",
    ),
    Group(
        "shape",
        "Shapes",
        "形状",
        "🔮 🔴 🔵 🔶 🔷 🔺 🔻 🟠 🟡 🟢 🟣 🟤 🟥 🟦 🟧 🟨 🟩 🟪 🟫 ⚪ ⚫ ⬛ ⬜ ⭕",
    ),
)
# What the painter learns besides, having more room: things of all kinds.
THINGS = (
    "🌀 🌂 🌊 🌋 🌐 🌠 🌡 🌪 🌬 🍴 🍽 🎀 🎁 🎃 🎄 🎆 🎇 🎈 🎉 🎊 🎋 🎍 🎏 🎐 🎒 🎓 🎖 🎗 🎙 🎚 🎛 "
    "🎞 🎠 🎡 🎢 🎣 🎤 🎥 🎧 🎨 🎩 🎪 🎬 🎭 🎮 🎯 🎰 🎱 🎲 🎳 🎵 🎶 🎷 🎸 🎹 🎺 🎻 🎽 🎾 🎿 🏀 🏅 "
    "🏆 🏈 🏉 🏍 🏎 🏏 🏐 🏑 🏒 🏓 🏔 🏕 🏖 🏝 🏠 🏡 🏥 🏦 🏫 🏮 🏰 🏵 🏷 🏸 🏺 🐕‍🦺 🐦‍🔥 🐾 👀 "
    "👁 👂 👄 👅 👑 👓 👔 👕 👖 👗 👘 👙 👛 👜 👝 👟 👠 👣 💄 💅 💉 💊 💍 💎 💡 💣 💤 💥 💦 💧 💨 "
    "💫 💯 💰 💳 💸 💺 💻 💼 💽 💾 💿 📀 📁 📂 📌 📍 📎 📏 📒 📓 📔 📕 📗 📘 📙 📚 📜 📝 📞 📟 📠 "
    "📡 📢 📣 📤 📥 📦 📧 📨 📮 📯 📰 📱 📷 📸 📹 📺 📻 📼 📽 📿 🔋 🔌 🔍 🔎 🔑 🔔 🔥 🔦 🔧 🔨 🔩 "
    "🔪 🔫 🔬 🔭 🕌 🕯 🕳 🕶 🕸 🕹 🖇 🖊 🖋 🖌 🖍 🖥 🖨 🖱 🖲 🖼 🗄 🗑 🗜 🗝 🗞 🗡 🗳 🗺 🗻 🗼 🗽 "
    "🗾 🗿 🚀 🚁 🚂 🚄 🚅 🚆 🚌 🚎 🚑 🚒 🚓 🚕 🚗 🚙 🚚 🚛 🚜 🚢 🚤 🚥 🚦 🚧 🚨 🚪 🚬 🚲 🚽 🚿 🛁 "
    "🛋 🛍 🛎 🛒 🛕 🛖 🛝 🛞 🛠 🛡 🛢 🛣 🛤 🛥 🛩 🛫 🛬 🛰 🛳 🛴 🛵 🛶 🛷 🛸 🛹 🛺 🛻 🛼 🤿 🥁 🥄 "
    "🥅 🥇 🥈 🥉 🥊 🥋 🥌 🥍 🥎 🥏 🥢 🥻 🥼 🥽 🥾 🥿 🦠 🦪 🦯 🦴 🦵 🦶 🦷 🦺 🦾 🦿 🧊 🧠 🧢 🧣 🧤 "
    "🧥 🧦 🧧 🧨 🧩 🧪 🧫 🧬 🧭 🧮 🧯 🧰 🧱 🧲 🧳 🧴 🧵 🧶 🧷 🧸 🧹 🧺 🧻 🧼 🧽 🧿 🩰 🩱 🩲 🩳 🩴 "
    "🩸 🩹 🩺 🪀 🪁 🪂 🪃 🪄 🪅 🪆 🪇 🪈 🪉 🪏 🪑 🪓 🪔 🪕 🪖 🪗 🪘 🪙 🪚 🪛 🪜 🪝 🪞 🪟 🪠 🪡 🪢 "
    "🪣 🪤 🪥 🪦 🪨 🪩 🪫 🪬 🪭 🪮 🪵 🪶 🪸 🪹 🪺 🪽 🪾 🫀 🫁 🫖 🫙 🫚 🫟 🫦 🫧 ⌚ ⌛ ⌨ ⏱ ⏳ ☂ "
    "☄ ☎ ☔ ☠ ☯ ♟ ♠ ♣ ♦ ⚒ ⚓ ⚔ ⚖ ⚗ ⚙ ⚠ ⚡ ⚰ ⚱ ⚽ ⚾ ⛏ ⛑ ⛓ ⛓‍💥 ⛩ ⛪ ⛰ ⛱ ⛲ "
    "⛴ ⛵ ⛸ ⛺ ⛽ ✂ ✈ ✉ ✍ ✏ ✒ ✨ "
)

GROUP_OF = {emoji: group.name for group in GROUPS for emoji in group.members.split()}


def read_emoji(folder: Path) -> tuple[Tensor, list[Emoji]]:
    """The pictures of all groups, uint8 of shape (pictures, 3, 64, 64), and what each shows."""
    with np.load(folder / "images64.npz") as arrays:
        pixels = torch.from_numpy(arrays["images"]).permute(0, 3, 1, 2)
    chosen, shown = [], []
    for index, line in enumerate((folder / "captions.jsonl").read_text("utf-8").splitlines()):
        row = json.loads(line)
        group = GROUP_OF.get(row["emoji"])
        if group is not None:
            chosen.append(index)
            shown.append(Emoji(row["emoji"], row["name_en"], row["name_zh"], group))
    return pixels[chosen].contiguous(), shown
